//! `atta attach`: the terminal of a task that runs, on this one.

use std::io::{IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use atta_core::engine::AttemptState;
use atta_core::protocol::JobId;
use atta_core::protocol::ant::LogStream;
use atta_core::protocol::api::{AttemptResource, JobDetail};
use atta_core::protocol::terminal::{
    ATTEMPT_ENDED, COLUMNS, INPUT, LARGEST, ROWS, SMALLEST, TerminalRequest, TerminalSession, TerminalSize,
};
use atta_core::resilience::{Backoff, Pauses};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use reqwest::Method;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use super::Server;
use super::logs::{of_task, write};
use super::stream::{LogMessage, Messages};
use crate::ambient::SystemEntropy;
use crate::args::AttachArgs;
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;
use crate::shutdown::Signals;

/// Ctrl-]: what ends this program and not the one that is typed into.
const END: u8 = 0x1d;
/// So often the server hears of a session in which nobody types.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// How often something is tried again that broke off, and after how long: about as long as a session lasts.
const TRIES: u32 = 60;
const AGAIN: Backoff = Backoff { first: Duration::from_millis(100), factor: 2, cap: Duration::from_secs(1) };

/// Keys that wait while the server cannot be reached; of a file so many pieces are read ahead.
const KEYS: usize = 1 << 16;
const PIECES: usize = 64;
/// How long the server may take to hear that somebody leaves.
const GOODBYE: Duration = Duration::from_secs(2);

/// What this side has to say.
enum Say {
    /// Somebody typed.
    Bytes(Vec<u8>),
    /// This terminal has another size.
    Resized,
    /// Nothing more is typed.
    End,
}

/// `atta attach JOB TASK [--write]`.
pub(crate) async fn attach(args: AttachArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let id = server.job_id(&args.job).await?;
    let job = server.job_with_attempts(&id).await?;
    let number = find(&job, &args)?;
    let mut output = Output { server: server.clone(), job: id.clone(), number, offset: 0, raw: false, messages: None };
    if !args.write {
        let mut signals = Signals::catch()?;
        tokio::select! {
            ended = output.copy() => ended?,
            _ = signals.next() => {}
        }
        return Ok(Exit::Success);
    }
    let line = Line::open(&server, &id, number, args.take_over).await?;
    let local = std::io::stdin().is_terminal();
    let task = &args.task;
    if local {
        output::say(&format!("What you type goes to {task} of {id}. Ctrl-] ends this; {task} goes on.\n"));
    }
    let mut leave = Leave { asked: Arc::default(), signals: Signals::catch()? };
    let raw = if local { Some(Raw::enter()?) } else { None };
    output.raw = raw.is_some();
    let (say, said) = mpsc::channel(if local { KEYS } else { PIECES });
    read_stdin(say.clone(), local.then(|| Arc::clone(&leave.asked)));
    let resized = watch_size(say.clone())?;
    let mut typing = tokio::spawn(line.type_on(said));
    let result = tokio::select! {
        // What is printed last is shown.
        biased;
        ended = output.copy() => ended.map(|()| Left::AtEnd),
        typed = &mut typing => match typed {
            Ok(Ok(Typed::Detached)) if local => Ok(Left::Before),
            // Nothing more is typed, and the rest is watched.
            Ok(Ok(_)) => tokio::select! {
                ended = output.copy() => ended.map(|()| Left::AtEnd),
                () = leave.asked() => Ok(Left::Before),
            },
            Ok(Err(failure)) => Err(failure),
            Err(panic) => Err(Failure::failed(format!("Typing failed: {panic}."))),
        },
        () = leave.asked() => {
            // Without this the session ends by itself, a minute later.
            let _ = say.try_send(Say::End);
            let _ = tokio::time::timeout(GOODBYE, &mut typing).await;
            Ok(Left::Before)
        }
    };
    resized.abort();
    // This terminal is as it was before anything else is said on it.
    drop(raw);
    if local && matches!(result, Ok(Left::Before)) {
        output::say("\nDetached.\n");
    }
    result.map(|_| Exit::Success)
}

/// When this side ended.
enum Left {
    /// With the program.
    AtEnd,
    /// Before it.
    Before,
}

/// What makes this side end before the program.
struct Leave {
    /// Ctrl-].
    asked: Arc<Notify>,
    signals: Signals,
}

impl Leave {
    async fn asked(&mut self) {
        tokio::select! {
            () = self.asked.notified() => {}
            _ = self.signals.next() => {}
        }
    }
}

/// The attempt that is meant.
fn find(job: &JobDetail, args: &AttachArgs) -> CommandResult<u32> {
    let refused = |code: &str, text: String| Failure::new(Exit::Refused, code, text);
    let task = of_task(job, &args.task)?;
    let begun = |attempt: &&AttemptResource| attempt.state != AttemptState::Ready;
    let mut attempts = task.attempt_list.iter().filter(begun);
    let attempt = match args.attempt {
        Some(number) => attempts.find(|attempt| attempt.number == number),
        None => attempts.max_by_key(|attempt| attempt.number),
    };
    let Some(attempt) = attempt else {
        let text = match args.attempt {
            Some(number) => format!("{} has no attempt {number} that started.", args.task),
            None => format!("No attempt of {} has started yet.", args.task),
        };
        return Err(refused("NOT_FOUND", text).with_help("`atta jobs show JOB` lists the attempts."));
    };
    if !attempt.tty {
        let text = format!("The task {} has no terminal.", args.task);
        return Err(refused("NO_TERMINAL", text)
            .with_help("A task gets one by `tty: true`; `atta logs -f` follows what others print."));
    }
    Ok(attempt.number)
}

/// What the program prints.
struct Output {
    server: Server,
    job: JobId,
    number: u32,
    /// What came before was shown.
    offset: u64,
    /// This terminal does not begin a new line at its left side by itself.
    raw: bool,
    messages: Option<Messages>,
}

impl Output {
    /// Shows all of it, until the attempt has ended. A connection that breaks is taken up where it broke.
    async fn copy(&mut self) -> CommandResult<()> {
        let mut pauses = Pauses::new(AGAIN);
        loop {
            match self.piece().await {
                Ok(true) => pauses.reset(),
                Ok(false) => return Ok(()),
                Err(failure) if self.messages.as_ref().is_some_and(Messages::is_dead) => return Err(failure),
                Err(failure) if failure.exit == Exit::Unreachable && pauses.failures() < TRIES => {
                    self.messages = None;
                    tokio::time::sleep(pauses.next(&SystemEntropy)).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Shows one piece; false at the end. Nothing is lost or shown twice when this is dropped half-way.
    async fn piece(&mut self) -> CommandResult<bool> {
        if self.messages.is_none() {
            let (number, offset) = (self.number.to_string(), self.offset.to_string());
            let query = [("follow", "true"), ("offset", offset.as_str())];
            let request = self.server.get(&["jobs", &self.job.0, "attempts", &number, "log"], &query);
            self.messages = Some(Messages::new(&self.server, self.server.send(request).await?));
        }
        let broken = || Failure::new(Exit::Unreachable, "UNREACHABLE", "The log breaks off again and again.");
        let Some(messages) = self.messages.as_mut() else { return Ok(true) };
        let Some(message) = messages.next().await? else { return Err(broken()) };
        let (offset, stream, bytes) = match LogMessage::read(message)? {
            LogMessage::Piece { offset, stream, bytes } => (offset, stream, bytes),
            LogMessage::End => return Ok(false),
            LogMessage::Other => return Ok(true),
        };
        self.offset = offset + bytes.len() as u64;
        let shown = if self.raw && stream == LogStream::System { with_returns(&bytes) } else { bytes };
        write(&shown)?;
        Ok(true)
    }
}

/// Lines of Atta's own were not written for a terminal.
fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len() + 16);
    for byte in bytes {
        if *byte == b'\n' {
            shown.push(b'\r');
        }
        shown.push(*byte);
    }
    shown
}

/// How typing ended.
enum Typed {
    /// Nothing more was to be typed.
    Detached,
    /// The program has ended.
    Over,
}

/// The right to type.
struct Line {
    server: Server,
    job: JobId,
    number: String,
    session: TerminalSession,
    size: TerminalSize,
}

impl Line {
    async fn open(server: &Server, job: &JobId, number: u32, take_over: bool) -> CommandResult<Self> {
        let (number, size) = (number.to_string(), local_size().unwrap_or_default());
        let request = TerminalRequest { take_over, columns: size.columns, rows: size.rows };
        let path = ["jobs", &job.0, "attempts", &number, "terminal"];
        let opened = server.json(server.post(&path).json(&request)).await;
        let session: TerminalSession = opened.map_err(|failure| match failure.code.as_str() {
            "TERMINAL_IN_USE" => failure.with_help("--take-over ends that session; without --write you watch."),
            _ => failure,
        })?;
        Ok(Self { server: server.clone(), job: job.clone(), number, session, size })
    }

    /// Types what comes, and shows now and then that somebody is there.
    async fn type_on(mut self, mut said: mpsc::Receiver<Say>) -> CommandResult<Typed> {
        let mut seq = self.session.next_seq;
        let mut next = None;
        loop {
            let say = match next.take() {
                Some(say) => Ok(Some(say)),
                None => tokio::time::timeout(SIGN_OF_LIFE, said.recv()).await,
            };
            let step = match say {
                Ok(Some(Say::Bytes(mut bytes))) => {
                    // What came while the last request was under way goes together.
                    while next.is_none() {
                        match said.try_recv() {
                            Ok(Say::Bytes(more)) if bytes.len() + more.len() <= INPUT => bytes.extend(more),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    let typed = self.input(seq, bytes).await;
                    seq += 1;
                    typed
                }
                Ok(Some(Say::Resized)) => {
                    self.size = local_size().unwrap_or(self.size);
                    self.say_size().await
                }
                Ok(Some(Say::End) | None) => {
                    // It ends by itself when this fails.
                    let _ = self.send(Method::DELETE, &[], &[], None).await;
                    return Ok(Typed::Detached);
                }
                Err(_) => self.say_size().await,
            };
            match step {
                Ok(()) => {}
                Err(failure)
                    if failure.code == "TERMINAL_CLOSED"
                        && failure.message.trim_end_matches('.').ends_with(ATTEMPT_ENDED) =>
                {
                    return Ok(Typed::Over);
                }
                Err(failure) if failure.code == "TERMINAL_CLOSED" => {
                    return Err(failure.with_help("`atta attach --write` opens another session."));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn say_size(&self) -> CommandResult<()> {
        let body = serde_json::to_vec(&self.size).map_err(|error| Failure::failed(format!("{error}.")))?;
        self.send(Method::PUT, &["size"], &[], Some(("application/json", body))).await
    }

    async fn input(&self, seq: u64, bytes: Vec<u8>) -> CommandResult<()> {
        let seq = seq.to_string();
        self.send(Method::POST, &["input"], &[("seq", &seq)], Some(("application/octet-stream", bytes))).await
    }

    /// Sends a request of the session; as often as it takes, for none of them does anything twice.
    async fn send(
        &self,
        method: Method,
        rest: &[&str],
        query: &[(&str, &str)],
        body: Option<(&str, Vec<u8>)>,
    ) -> CommandResult<()> {
        let start = ["api", "v1", "jobs", &self.job.0, "attempts", &self.number, "terminal", &self.session.session];
        let path = [&start, rest].concat();
        let mut pauses = Pauses::new(AGAIN);
        loop {
            let mut request = self.server.request(method.clone(), &path, query);
            if let Some((kind, bytes)) = &body {
                request = request.header(reqwest::header::CONTENT_TYPE, *kind).body(bytes.clone());
            }
            match self.server.send(request).await {
                Ok(_) => return Ok(()),
                Err(failure) => {
                    let passing = failure.exit == Exit::Unreachable
                        || matches!(failure.code.as_str(), "TERMINAL_BUSY" | "UNAVAILABLE");
                    if !passing || pauses.failures() >= TRIES {
                        return Err(failure);
                    }
                    tokio::time::sleep(pauses.next(&SystemEntropy)).await;
                }
            }
        }
    }
}

/// Reads stdin on a thread of its own, which nobody waits for: a read cannot be called back. Who types on a terminal may ask
/// to leave.
fn read_stdin(say: mpsc::Sender<Say>, leave: Option<Arc<Notify>>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; INPUT];
        loop {
            let count = match std::io::stdin().lock().read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.unwrap_or(0),
            };
            let (typed, ended) = match buffer[..count].iter().position(|byte| leave.is_some() && *byte == END) {
                Some(end) => (&buffer[..end], true),
                None => (&buffer[..count], count == 0),
            };
            // When nobody listens any more the program is about to end.
            if !typed.is_empty() && say.blocking_send(Say::Bytes(typed.to_vec())).is_err() {
                return;
            }
            if ended {
                if let Some(leave) = leave.filter(|_| count > 0) {
                    leave.notify_one();
                } else {
                    let _ = say.blocking_send(Say::End);
                }
                return;
            }
        }
    });
}

/// Says when this terminal gets another size.
fn watch_size(say: mpsc::Sender<Say>) -> CommandResult<tokio::task::JoinHandle<()>> {
    let caught = signal(SignalKind::window_change());
    let mut changes = caught.map_err(|error| Failure::failed(format!("Signals cannot be caught: {error}.")))?;
    Ok(tokio::spawn(async move {
        while changes.recv().await.is_some() {
            if say.send(Say::Resized).await.is_err() {
                return;
            }
        }
    }))
}

/// The size of this terminal, if there is one.
fn local_size() -> Option<TerminalSize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stdin()))
        .ok()?;
    // Some say that they have none.
    let or = |given: u16, usual: u16| if given == 0 { usual } else { given.clamp(SMALLEST, LARGEST) };
    Some(TerminalSize { columns: or(size.ws_col, COLUMNS), rows: or(size.ws_row, ROWS) })
}

/// This terminal passes everything on as it is typed, until this is dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> CommandResult<Self> {
        let cannot = |error: nix::Error| Failure::failed(format!("This terminal cannot be used: {error}."));
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd()).map_err(cannot)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).map_err(cannot)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nothing else to do when this fails: the terminal is gone.
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_atta_begin_at_the_left_of_a_raw_terminal() {
        assert_eq!(with_returns(b"stopping: enough\n"), b"stopping: enough\r\n");
    }
}
