//! Doors for the fuzz targets (`xtask/fuzz`) to what is private. Only there with `--cfg fuzzing`.

use std::io;

use super::protocol::{Answer, Received, receive, send};

/// What a control plane sends; each message as the edge would send it back.
pub async fn requests(bytes: &[u8]) -> io::Result<Vec<u8>> {
    echo::<Received>(bytes).await
}

/// What an edge sends; each message as the control plane would send it back.
pub async fn answers(bytes: &[u8]) -> io::Result<Vec<u8>> {
    echo::<Answer>(bytes).await
}

async fn echo<T: serde::de::DeserializeOwned + serde::Serialize>(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut sent = Vec::new();
    while let Some(message) = receive::<T>(&mut bytes).await? {
        send(&mut sent, &message).await?;
    }
    Ok(sent)
}
