//! `atta logs`.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use atta_core::engine::AttemptState;
use atta_core::protocol::JobId;
use atta_core::protocol::api::{JobDetail, TaskResource};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Server;
use super::follow::EventFollower;
use super::stream::{LogMessage, Messages};
use crate::args::{LogsArgs, StreamName};
use crate::exit::{CommandResult, Exit, Failure};

/// Attempts whose logs are followed at once; those that ended wait for a place.
const AT_ONCE: usize = 32;

/// A piece of output and the task that it is from.
struct Piece {
    task: Arc<str>,
    bytes: Vec<u8>,
}

/// An attempt whose log is shown.
struct Wanted {
    task: Arc<str>,
    number: u32,
    /// Nothing more comes.
    finished: bool,
}

/// `atta logs JOB [TASK] [-f]`.
pub(crate) async fn logs(args: LogsArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let id = server.job_id(&args.job).await?;
    let job = server.job_with_attempts(&id).await?;
    if let Some(task) = &args.task {
        of_task(&job, task)?;
    }
    let many = |task: &TaskResource| task.fan_out.is_some() && args.task.as_ref() == Some(&task.task_type);
    let prefixes = args.attempt.is_none() && (args.task.is_none() || job.tasks.iter().any(many));
    if args.follow { follow(&server, &id, &args, prefixes).await } else { show(&server, &job, &args, prefixes).await }
}

/// The task of this name.
pub(super) fn of_task<'j>(job: &'j JobDetail, task: &str) -> CommandResult<&'j TaskResource> {
    job.tasks.iter().find(|known| known.task_type == task).ok_or_else(|| {
        let names: Vec<&str> = job.tasks.iter().map(|known| known.task_type.as_str()).collect();
        Failure::new(Exit::Refused, "NOT_FOUND", format!("{} has no task {task}.", job.summary.job_id))
            .with_help(format!("Its tasks are {}.", names.join(", ")))
    })
}

fn wanted(job: &JobDetail, args: &LogsArgs) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = job
        .tasks
        .iter()
        .filter(|task| args.task.as_ref().is_none_or(|name| *name == task.task_type))
        .flat_map(|task| {
            let of_task: Arc<str> = Arc::from(task.task_type.as_str());
            let name = move |key: Option<&str>| match key {
                Some(key) => Arc::from(format!("{of_task}[{key}]")),
                None => Arc::clone(&of_task),
            };
            task.attempt_list.iter().filter(|attempt| attempt.state != AttemptState::Ready).map(move |attempt| Wanted {
                task: name(attempt.item_key.as_deref()),
                number: attempt.number,
                finished: attempt.state == AttemptState::Finished,
            })
        })
        .filter(|wanted| args.attempt.is_none_or(|number| number == wanted.number))
        .collect();
    wanted.sort_by_key(|wanted| wanted.number);
    wanted
}

fn stream_name(stream: StreamName) -> &'static str {
    match stream {
        StreamName::Stdout => "stdout",
        StreamName::Stderr => "stderr",
        StreamName::System => "system",
    }
}

async fn show(server: &Server, job: &JobDetail, args: &LogsArgs, prefixes: bool) -> CommandResult {
    let wanted = wanted(job, args);
    if let (Some(number), true) = (args.attempt, wanted.is_empty()) {
        return Err(no_attempt(&job.summary.job_id, number));
    }
    let mut printer = Printer::new(prefixes);
    for attempt in wanted {
        show_attempt(server, &job.summary.job_id, &attempt, args.stream, &mut printer).await?;
    }
    Ok(Exit::Success)
}

/// What an attempt has written so far.
async fn show_attempt(
    server: &Server,
    job: &JobId,
    attempt: &Wanted,
    stream: Option<StreamName>,
    printer: &mut Printer,
) -> CommandResult<()> {
    let number = attempt.number.to_string();
    let query: Vec<(&str, &str)> = stream.map(|stream| ("stream", stream_name(stream))).into_iter().collect();
    let mut response = server.send(server.get(&["jobs", &job.0, "attempts", &number, "log"], &query)).await?;
    while let Some(bytes) = server.part(response.chunk()).await?.map_err(|error| server.no_answer(&error))? {
        printer.print(&attempt.task, &bytes)?;
    }
    printer.end(&attempt.task)
}

fn no_attempt(job: &JobId, number: u32) -> Failure {
    Failure::new(Exit::Refused, "NOT_FOUND", format!("{job} has no attempt {number} that started."))
        .with_help("`atta jobs show JOB` lists the attempts.")
}

/// Follows what runs and what will run; the exit code is the job's verdict.
async fn follow(server: &Server, id: &JobId, args: &LogsArgs, prefixes: bool) -> CommandResult {
    let (sender, mut pieces) = mpsc::channel::<Piece>(64);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut followers = JoinSet::new();
    let mut started = HashSet::new();
    let mut events = EventFollower::new(server, id);
    let mut printer = Printer::new(prefixes);
    let mut ended = false;
    let mut sender = Some(sender);
    loop {
        tokio::select! {
            // What was said is printed before anything new is looked at.
            biased;
            piece = pieces.recv() => match piece {
                Some(piece) if piece.bytes.is_empty() => printer.end(&piece.task)?,
                Some(piece) => printer.print(&piece.task, &piece.bytes)?,
                None => break,
            },
            Some(joined) = followers.join_next() => {
                joined.map_err(|error| Failure::failed(format!("A log cannot be followed: {error}.")))??;
            }
            event = events.next(), if !ended => {
                let event = event?;
                ended = event.is_none();
                let may_have_started = event.is_none_or(|lines| {
                    let kinds = ["attempt_leased", "attempt_started", "attempt_finished"];
                    lines.iter().any(|line| kinds.contains(&line.kind.as_str()))
                });
                if may_have_started {
                    let job = server.job(id).await?;
                    for attempt in wanted(&job, args) {
                        if !started.insert(attempt.number) {
                            continue;
                        }
                        if attempt.finished {
                            // In order, one after another; those that run go on meanwhile.
                            show_attempt(server, id, &attempt, args.stream, &mut printer).await?;
                        } else if let Some(sender) = &sender {
                            let stream = args.stream;
                            let (server, id, sender, places) =
                                (server.clone(), id.clone(), sender.clone(), Arc::clone(&places));
                            followers.spawn(async move {
                                let Ok(_place) = places.acquire().await else { return Ok(()) };
                                follow_attempt(&server, &id, &attempt, stream, &sender).await
                            });
                        }
                    }
                }
                if ended {
                    // The followers hold the other ends: the channel closes when the last of them is done.
                    sender = None;
                }
            }
        }
    }
    if let (Some(number), true) = (args.attempt, started.is_empty()) {
        return Err(no_attempt(id, number));
    }
    Ok(server.job(id).await?.summary.state.into())
}

async fn follow_attempt(
    server: &Server,
    job: &JobId,
    attempt: &Wanted,
    stream: Option<StreamName>,
    sender: &mpsc::Sender<Piece>,
) -> CommandResult<()> {
    let number = attempt.number.to_string();
    let mut query = vec![("follow", "true")];
    query.extend(stream.map(|stream| ("stream", stream_name(stream))));
    let request = server.get(&["jobs", &job.0, "attempts", &number, "log"], &query);
    let mut messages = Messages::new(server, server.send(request).await?);
    while let Some(message) = messages.next().await? {
        let bytes = match LogMessage::read(message)? {
            // One without bytes would be the end for whoever prints it.
            LogMessage::Piece { bytes, .. } if !bytes.is_empty() => bytes,
            LogMessage::Piece { .. } | LogMessage::Other => continue,
            LogMessage::End => break,
        };
        // When the receiver is gone the program is about to end.
        if sender.send(Piece { task: Arc::clone(&attempt.task), bytes }).await.is_err() {
            return Ok(());
        }
    }
    let _ = sender.send(Piece { task: Arc::clone(&attempt.task), bytes: Vec::new() }).await;
    Ok(())
}

/// Puts the name of the task in front of each line, or passes the bytes on as they are.
struct Printer {
    prefixes: bool,
    /// Of each task: what came after its last newline.
    open: Vec<(Arc<str>, Vec<u8>)>,
}

impl Printer {
    fn new(prefixes: bool) -> Self {
        Self { prefixes, open: Vec::new() }
    }

    fn print(&mut self, task: &Arc<str>, bytes: &[u8]) -> CommandResult<()> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        if self.prefixes {
            let open = self.open(task);
            for part in bytes.split_inclusive(|byte| *byte == b'\n') {
                open.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    out.extend_from_slice(task.as_bytes());
                    out.extend_from_slice(b" | ");
                    out.append(open);
                }
            }
        } else {
            out.extend_from_slice(bytes);
        }
        write(&out)
    }

    /// The attempt has ended: a last line without newline is shown with one.
    fn end(&mut self, task: &Arc<str>) -> CommandResult<()> {
        let Some(index) = self.open.iter().position(|(name, _)| name == task) else { return Ok(()) };
        let (_, open) = self.open.swap_remove(index);
        if open.is_empty() {
            return Ok(());
        }
        write(&[task.as_bytes(), b" | ", &open, b"\n"].concat())
    }

    fn open(&mut self, task: &Arc<str>) -> &mut Vec<u8> {
        let index = self.open.iter().position(|(name, _)| name == task).unwrap_or_else(|| {
            self.open.push((Arc::clone(task), Vec::new()));
            self.open.len() - 1
        });
        &mut self.open[index].1
    }
}

/// Logs are bytes: they are passed on as they are.
pub(super) fn write(bytes: &[u8]) -> CommandResult<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(())
}
