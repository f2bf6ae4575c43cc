//! Running another program in a running container.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{
    Client,
    containers::{container_path, resize},
    error::{Error, Result},
    hijack::Session,
    logs::DETACH_KEYS,
    model::{Vars, or_default},
    request::{Call, segment},
};

/// A program to run in a container.
///
/// ```
/// use sh0_docker::client::ExecSpec;
/// let exec = ExecSpec { argv: vec!["psql".into(), "--version".into()], ..ExecSpec::default() };
/// # let _ = exec;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments. No shell reads them.
    pub argv: Vec<String>,
    /// Environment, on top of the container's.
    pub env: Vars,
    /// `user[:group]`; the container's when absent.
    pub user: Option<String>,
    /// Directory to start in; the container's when absent.
    pub working_dir: Option<String>,
    /// Give it a terminal; its output is then one raw stream.
    pub tty: bool,
    /// Give it standard input. Without it, the program reads an end of file at once.
    pub stdin: bool,
    /// All capabilities.
    pub privileged: bool,
}

/// Where an exec is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ExecState {
    /// Whether it runs.
    #[serde(deserialize_with = "or_default")]
    pub running: bool,
    /// Exit code, once it has ended.
    #[serde(deserialize_with = "or_default")]
    pub exit_code: Option<i64>,
    /// Process id on the host; 0 before it starts.
    #[serde(deserialize_with = "or_default")]
    pub pid: Option<i64>,
    /// The container.
    #[serde(rename = "ContainerID", deserialize_with = "or_default")]
    pub container_id: String,
}

impl Client {
    /// Prepares a program; [`start_exec`](Self::start_exec) runs it. Returns the exec's id.
    /// API: `POST /containers/{id}/exec`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when the container does not run; [`Error::InvalidInput`] for an empty
    /// `argv`.
    pub async fn create_exec(&self, container: &str, spec: &ExecSpec) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Id")]
            id: String,
        }
        if spec.argv.is_empty() {
            return Err(Error::InvalidInput { what: "exec", reason: "there is no program to run".into() });
        }
        let mut body = json!({
            "Cmd": spec.argv,
            "Env": spec.env.pairs(),
            "Tty": spec.tty,
            "AttachStdin": spec.stdin,
            "AttachStdout": true,
            "AttachStderr": true,
            "Privileged": spec.privileged,
            "DetachKeys": DETACH_KEYS,
        });
        if let Some(user) = &spec.user {
            body["User"] = user.as_str().into();
        }
        if let Some(dir) = &spec.working_dir {
            body["WorkingDir"] = dir.as_str().into();
        }
        let answer: Answer = self.json(&Call::post(container_path(container, "exec")?).json(&body)?.slow()).await?;
        Ok(answer.id)
    }

    /// Runs a prepared program, once. `tty` must be what it was created with. The exit code comes from
    /// [`wait_exec`](Self::wait_exec), after the output has ended. API: `POST /exec/{id}/start`.
    ///
    /// The engine hands the connection over before it starts the program. So a program that cannot be run is no error
    /// here: the reason comes as output, with an exit code of 126 or 127.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when the container has ended, or when the exec ran already (20.10 says
    /// that in the output).
    pub async fn start_exec(&self, exec: &str, tty: bool) -> Result<Session> {
        self.transport.hijack(&start_call(exec, false, tty)?, tty).await
    }

    /// Runs a prepared program without its input and output. API: `POST /exec/{id}/start`, `Detach`.
    ///
    /// # Errors
    /// Those of [`start_exec`](Self::start_exec).
    pub async fn start_exec_detached(&self, exec: &str) -> Result<()> {
        self.transport.call(&start_call(exec, true, false)?.slow()).await.map(drop)
    }

    /// Looks at an exec. API: `GET /exec/{id}/json`.
    ///
    /// # Errors
    /// [`Error::NotFound`], also some minutes after it ended.
    pub async fn inspect_exec(&self, exec: &str) -> Result<ExecState> {
        self.json(&Call::get(exec_path(exec, "json")?)).await
    }

    /// The exit code of an exec whose output has ended. The engine may learn of the end a moment after the output
    /// ends, so this asks a few times, up to `within`.
    ///
    /// # Errors
    /// [`Error::ExitUnknown`] when it still runs then.
    pub async fn wait_exec(&self, exec: &str, within: Duration) -> Result<i64> {
        let deadline = tokio::time::Instant::now() + within;
        let mut pause = Duration::from_millis(5);
        loop {
            let state = self.inspect_exec(exec).await?;
            if let (false, Some(code)) = (state.running, state.exit_code) {
                return Ok(code);
            }
            if tokio::time::Instant::now() + pause > deadline {
                return Err(Error::ExitUnknown { message: format!("the program has not ended within {within:?}") });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// Tells an exec with a TTY how large its window is. API: `POST /exec/{id}/resize`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Server`] or [`Error::Conflict`] until it runs: try again a moment later.
    pub async fn resize_exec(&self, exec: &str, columns: u16, rows: u16) -> Result<()> {
        self.transport.call(&resize(Call::post(exec_path(exec, "resize")?), columns, rows)).await.map(drop)
    }
}

/// The body is required although it says little: without one the engine fails.
fn start_call(exec: &str, detach: bool, tty: bool) -> Result<Call> {
    Call::post(exec_path(exec, "start")?).json(&json!({ "Detach": detach, "Tty": tty }))
}

fn exec_path(exec: &str, action: &str) -> Result<String> {
    Ok(format!("/exec/{}/{action}", segment("exec", exec)?))
}
