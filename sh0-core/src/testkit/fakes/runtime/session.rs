use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::FakeRuntime;
use crate::Result;
use crate::model::{Exit, InstanceName, LogStream};
use crate::traits::{CommandLine, Session, SessionInput, Terminal};

/// Takes everything and does nothing with it.
struct Sink;

#[async_trait]
impl SessionInput for Sink {
    async fn write(&mut self, _: Bytes) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }

    async fn resize(&mut self, _: Terminal) -> Result<()> {
        Ok(())
    }
}

/// Removes the instance of a one-off run with its session.
struct OneOff(FakeRuntime, InstanceName);

impl Drop for OneOff {
    fn drop(&mut self) {
        self.0.vanish(&self.1);
    }
}

/// The command that prints itself and does not end.
pub const STAYS: &str = "stays";

/// A command that prints itself and ends well. With `one_off`, its instance goes with the session.
pub(super) fn echo(command: &CommandLine, one_off: Option<(FakeRuntime, InstanceName)>) -> Session {
    let text = match command {
        CommandLine::Shell(line) => line.clone(),
        CommandLine::Exec(words) => words.join(" "),
    };
    let instance = one_off.map(|(runtime, name)| OneOff(runtime, name));
    let exit = async move {
        drop(instance);
        Ok(Exit::default())
    };
    Session {
        input: Box::new(Sink),
        output: match text == STAYS {
            true => stream::iter([Ok((LogStream::Stdout, Bytes::from(text)))]).chain(stream::pending()).boxed(),
            false => stream::iter([Ok((LogStream::Stdout, Bytes::from(text)))]).boxed(),
        },
        exit: exit.boxed(),
    }
}
