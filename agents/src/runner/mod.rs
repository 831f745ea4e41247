//! The runner of one attempt.

mod attempt;
mod run;
mod watch;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{AgentOrder, AgentRecord};
use atta_core::time::Clock;
use nix::sys::signal::{SigSet, Signal};

use crate::changes::path_of;
use crate::configuration;
use crate::prices::Prices;
use crate::process;
use crate::record::{self, Ledger};
use crate::transcript::Transcript;

/// What the runner ends with when it was told to end: as if by TERM. The record has no class then.
pub const TOLD_TO_END: i32 = 128 + Signal::SIGTERM as i32;

/// What the runner finds around it.
pub struct Surroundings {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The environment that the agent gets, and in which TASK_DIR, JOB_WORKSPACE and HOME are looked for.
    pub environment: Vec<(OsString, OsString)>,
    /// Where the readable transcript goes.
    pub shown: Box<dyn Write + Send>,
    /// What tokens cost.
    pub prices: Prices,
    /// Set when the attempt shall end.
    pub told_to_end: Arc<AtomicBool>,
}

/// Reads an order, runs it, keeps the record, and returns the number of its class: what the runner's process exits with.
///
/// It takes this process over: signals, orphans and children are its own from here on.
pub fn run_from_files(order: &Path, record: &Path, clock: Arc<dyn Clock>) -> i32 {
    let told_to_end = Arc::new(AtomicBool::new(false));
    if let Err(error) = listen_for_signals(&told_to_end).and_then(|()| process::adopt_orphans()) {
        return give_up(record, &format!("the runner cannot start: {error}"));
    }
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let prices = match path_of(&environment, "ATTA_PRICES") {
        Some(path) => Prices::read(&path),
        None => Prices::built_in(),
    };
    let prices = match prices {
        Ok(prices) => prices,
        Err(error) => return give_up(record, &error.to_string()),
    };
    let order: AgentOrder = match fs::read(order).and_then(|text| Ok(serde_json::from_slice(&text)?)) {
        Ok(order) => order,
        Err(error) => return give_up(record, &format!("the order {} cannot be read: {error}", order.display())),
    };
    let surroundings = Surroundings { clock, environment, shown: Box::new(io::stdout()), prices, told_to_end };
    run_order(&order, record, surroundings).class.map_or(TOLD_TO_END, |class| i32::from(class.code()))
}

/// Puts back what a runner that was cut off left in a checkout: where the order says that the agent's configuration comes
/// from elsewhere. The exit code of the process.
pub fn restore_from_files(order: &Path) -> i32 {
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let order = fs::read(order).and_then(|text| Ok(serde_json::from_slice::<AgentOrder>(&text)?));
    let order = match order {
        Ok(order) if order.config_from.is_some() => order,
        Ok(_) => return 0,
        Err(error) => {
            println!("the order cannot be read: {error}");
            return 1;
        }
    };
    let task_dir = path_of(&environment, "TASK_DIR").unwrap_or_else(|| PathBuf::from("."));
    let done = attempt::directory_of(&order, &task_dir, &environment).and_then(|directory| {
        configuration::recover(&directory, &configuration::places(task_dir, &environment), &environment)
    });
    match done {
        Ok(_) => 0,
        Err(message) => {
            println!("{message}");
            1
        }
    }
}

/// Runs an order. Like [`run_from_files`] with everything passed in; the process is a subreaper already.
pub fn run_order(order: &AgentOrder, record: &Path, surroundings: Surroundings) -> AgentRecord {
    let mut ledger = Ledger::new(record);
    let task_dir = path_of(&surroundings.environment, "TASK_DIR").unwrap_or_else(|| PathBuf::from("."));
    // Beside the record, where the agent does not look and no glob of its task does.
    let files = record.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prepared = files
        .canonicalize()
        .and_then(|files| Ok((Transcript::new(surroundings.shown, &files.join("transcript.jsonl"))?, files)));
    let (transcript, files) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            ledger.record.class = Some(AgentClass::Error);
            ledger.record.message = format!("{} cannot be written: {error}", files.display());
            let _ = ledger.write(surroundings.clock.monotonic());
            return ledger.record;
        }
    };
    let mut attempt = attempt::Attempt {
        order,
        clock: surroundings.clock,
        environment: surroundings.environment,
        prices: surroundings.prices,
        told_to_end: surroundings.told_to_end,
        task_dir,
        files,
        context: None,
        ledger,
        transcript,
    };
    attempt.perform();
    attempt.finish()
}

/// What ends the runner before it has begun.
fn give_up(path: &Path, message: &str) -> i32 {
    println!("! {message}");
    let record = AgentRecord { class: Some(AgentClass::Error), message: message.to_owned(), ..AgentRecord::empty() };
    if let Err(error) = record::replace(path, &record) {
        println!("! the record cannot be written: {error}");
    }
    i32::from(AgentClass::Error.code())
}

/// Blocks the signals that ask a process to end, and waits for them in a thread of its own.
fn listen_for_signals(told: &Arc<AtomicBool>) -> io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let told = Arc::clone(told);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while signals.wait().is_ok() {
            told.store(true, Ordering::SeqCst);
        }
    })?;
    Ok(())
}
