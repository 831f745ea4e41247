//! The demo's own `atta serve`, a process of its own on a free port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ambient;
use crate::args::{ServerArgs, TokenFileArgs};
use crate::client::Server;
use crate::exit::{CommandResult, Failure};
use crate::serve::READY;

/// A server that ends with this value.
pub(super) struct DemoServer {
    process: Child,
    url: String,
}

impl DemoServer {
    /// Starts it, with its data and its log below this directory, and waits until it is ready.
    pub(super) fn start(root: &Path) -> CommandResult<Self> {
        let cannot = |error: std::io::Error| Failure::failed(format!("The demo's server cannot be started: {error}."));
        let program = std::env::current_exe().map_err(cannot)?;
        let log = root.join("server.log");
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--slots", "4", "--data-dir"])
            .arg(root.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).map_err(cannot)?);
        // Settings are meant for a server of one's own.
        for name in ambient::own_variables() {
            command.env_remove(name);
        }
        let mut process = command.spawn().map_err(cannot)?;
        let mut first = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut first).map_err(cannot)?;
        }
        let url = first.strip_prefix(READY).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned();
        let server = Self { process, url };
        if server.url.is_empty() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Failure::failed(format!("The demo's server does not start: {}", said.trim())));
        }
        Ok(server)
    }

    /// Where it answers.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its client.
    pub(super) fn client(&self) -> CommandResult<Server> {
        Server::new(&ServerArgs { server: self.url.clone(), token: TokenFileArgs::default() })
    }

    /// Ends it and what runs below it.
    pub(super) fn stop(&mut self) -> CommandResult<()> {
        let failed = |error: String| Failure::failed(format!("The demo's server does not end: {error}."));
        if self.process.try_wait().map_err(|error| failed(error.to_string()))?.is_some() {
            return Ok(());
        }
        let id = i32::try_from(self.process.id()).map_err(|error| failed(error.to_string()))?;
        kill(Pid::from_raw(id), Signal::SIGTERM).map_err(|error| failed(error.to_string()))?;
        self.process.wait().map_err(|error| failed(error.to_string()))?;
        Ok(())
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        if let Err(failure) = self.stop() {
            failure.print();
        }
    }
}
