//! Dockerfiles written here, as builders have to get them that are not ours.

use std::collections::BTreeSet;

use sh0_core::model::{ENV_DIGEST, SecretMount};

use crate::render::{ROOTFS, SH0_ALONE, told};

/// The variables that commands of a Dockerfile written here get as secrets.
pub(super) fn mounted_secrets(dockerfile: &str) -> BTreeSet<&str> {
    let words = dockerfile.lines().filter_map(|line| line.strip_prefix("RUN ")).flat_map(|line| line.split(' '));
    words.filter_map(|word| Some(word.strip_prefix(SecretMount::BEGIN)?.split_once(',')?.0)).collect()
}

/// A Dockerfile written here, for builders that are not ours: they do not fill its digest of variables, and without
/// `mounts` they mount nothing.
pub(super) fn exported(dockerfile: &str, mounts: bool) -> String {
    let text = dockerfile.replace(&format!("ARG {ENV_DIGEST}\n"), "");
    if mounts {
        return text;
    }
    let secrets = mounted_secrets(dockerfile);
    let bare = |line: &str| {
        let Some(mut command) = line.strip_prefix("RUN ") else { return format!("{line}\n") };
        while let Some((_, rest)) = command.strip_prefix("--mount=").and_then(|mount| mount.split_once(' ')) {
            command = rest;
        }
        let untold = secrets.iter().fold(command.to_owned(), |command, key| {
            let written = serde_json::Value::from(told(key)).to_string();
            command.replacen(&told(key), "", 1).replacen(written.trim_matches('"'), "", 1)
        });
        format!("RUN {untold}\n")
    };
    text.lines().map(bare).collect()
}

/// The same for finished files: Caddy serves them, in place of the program that only builds of sh0 have beside them.
pub(super) fn served(dockerfile: &str, spa: bool) -> String {
    let unknown = if spa { "try_files {path} /index.html\\n" } else { "" };
    let config = format!(":{{$PORT}}\\nroot * /srv\\n{unknown}file_server\\n");
    let line = |line: &str| match line {
        "FROM scratch" => format!("FROM caddy:2.10-alpine\nRUN printf '{config}' > /etc/caddy/Caddyfile\n"),
        ROOTFS | SH0_ALONE => String::new(),
        line if line.starts_with("CMD ") => "ENV XDG_CONFIG_HOME=/tmp XDG_DATA_HOME=/tmp\n".to_owned(),
        line => format!("{line}\n"),
    };
    dockerfile.lines().map(line).collect()
}
