//! A program in an agent's place that does one thing wrong.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::AgentCli;
use nix::sys::signal::{SigSet, Signal};

use super::faults::{EXPENSIVE_TURNS, Fault, tells_usage_at_once};
use super::wire::{RESETS_IN, Wire};

/// The final message of a stand-in.
pub(super) const VERDICT: &str = "All done.\n```json\n{\n  \"answer\": 42,\n  \"more\": {\"nested\": true}\n}\n```";

/// Stands in for a CLI: `CLI FAULT ARGUMENTS…`, where the arguments are those of the real one. Returns the exit code.
pub fn stand_in(arguments: &[String], now: i64) -> i32 {
    let [cli, fault, rest @ ..] = arguments else { return 2 };
    let (Some(cli), Some(fault)) = (AgentCli::parse(cli), Fault::parse(fault)) else { return 2 };
    // Whoever reads may be gone; then there is nothing to say any more.
    StandIn::new(cli, rest).act(fault, now).unwrap_or(1)
}

struct StandIn {
    wire: Wire,
    arguments: Vec<String>,
    prompt: String,
}

impl StandIn {
    fn new(cli: AgentCli, arguments: &[String]) -> Self {
        let after = |names: &[&str]| {
            let at = arguments.iter().position(|argument| names.contains(&argument.as_str()))?;
            arguments.get(at + 1).cloned()
        };
        let session = match cli {
            AgentCli::Claude | AgentCli::Gemini | AgentCli::Cursor => after(&["--resume"]),
            AgentCli::Codex => after(&["resume"]),
            AgentCli::Opencode => after(&["--session"]),
            AgentCli::Goose => after(&["--name"]),
            AgentCli::Copilot => after(&["--session-id"]),
            AgentCli::Aider => after(&["--chat-history-file"]),
            AgentCli::Custom => std::env::var_os("ATTA_AGENT_SESSION").and_then(|session| session.into_string().ok()),
        };
        let session = session.unwrap_or_else(|| format!("session-{}", std::process::id()));
        let prompt = match cli {
            AgentCli::Cursor => arguments.last().cloned(),
            AgentCli::Aider => after(&["--message-file"]).and_then(|path| std::fs::read_to_string(path).ok()),
            _ => {
                let mut prompt = String::new();
                io::stdin().read_to_string(&mut prompt).ok().map(|_| prompt)
            }
        };
        Self { wire: Wire::new(cli, session), arguments: arguments.to_vec(), prompt: prompt.unwrap_or_default() }
    }

    fn act(&mut self, fault: Fault, now: i64) -> io::Result<i32> {
        let asked_again = self.prompt.contains("in your last message") || self.prompt.contains("Your last message");
        match fault {
            Fault::NeverBegins => hang(),
            Fault::OpenStdin => {
                // By now it was read to its end.
                let mut rest = Vec::new();
                io::stdin().read_to_end(&mut rest)?;
            }
            _ => {}
        }
        say(&self.wire.begin())?;
        match fault {
            Fault::RateLimit => return self.fail(AgentClass::RateLimited, None),
            Fault::RateLimitWithReset => return self.fail(AgentClass::RateLimited, Some(now / 1000 + RESETS_IN)),
            Fault::Auth => return self.fail(AgentClass::Auth, None),
            Fault::Context => return self.fail(AgentClass::Context, None),
            Fault::Policy => return self.fail(AgentClass::Policy, None),
            Fault::TooManyTurns => loop {
                let lines = self.wire.answer("and on", true);
                say(&lines)?;
                sleep(Duration::from_millis(150));
            },
            Fault::TooExpensive => {
                for _ in 0..EXPENSIVE_TURNS {
                    let lines = self.wire.answer("and on", true);
                    say(&lines)?;
                    if tells_usage_at_once(self.wire.cli) {
                        sleep(Duration::from_millis(300));
                    }
                }
            }
            _ if asked_again => {}
            _ => {
                let lines = self.wire.answer("I will look.", true);
                say(&lines)?;
            }
        }
        match fault {
            Fault::FallsSilent => hang(),
            Fault::ToldToEnd => {
                ignore_term();
                hang();
            }
            Fault::Crash => {
                nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGKILL)?;
            }
            Fault::MissingResult if self.wire.cli != AgentCli::Aider => return Ok(0),
            Fault::ExitZeroOnFailure => {
                self.fail(AgentClass::Error, None)?;
                return Ok(0);
            }
            Fault::Garbage => say(&[
                "this is no JSON".to_owned(),
                "{\"neither\": is this".to_owned(),
                "\u{1b}[31m!\u{1b}[0m".to_owned(),
            ])?,
            Fault::UnknownEvents => say(&[self.wire.unknown()])?,
            Fault::LongLine => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(b"{\"type\": \"user\", \"text\": \"")?;
                for _ in 0..12 {
                    stdout.write_all(&vec![b'x'; 1 << 20])?;
                }
                stdout.write_all(b"\"}\n")?;
            }
            Fault::Orphans | Fault::IgnoresTerm => leave_children(fault == Fault::IgnoresTerm)?,
            _ => {}
        }
        let text = match fault {
            Fault::NoVerdict => "All done.".to_owned(),
            Fault::InvalidVerdict => "{\"answer\": \"forty-two\"}".to_owned(),
            Fault::VerdictWhenAsked if !asked_again => "All done; I forgot the rest.".to_owned(),
            Fault::SplitUtf8 => format!("→ä😀← {VERDICT}"),
            _ => VERDICT.to_owned(),
        };
        let answer = self.wire.answer(&text, false);
        if fault == Fault::SplitUtf8 {
            say_in_pieces(&answer)?;
        } else {
            say(&answer)?;
        }
        let end = self.wire.end(&text);
        say(&end)?;
        if self.wire.cli == AgentCli::Copilot {
            let file = self.arguments.iter().skip_while(|argument| *argument != "--usage-output-file").nth(1);
            if let Some(file) = file {
                std::fs::write(file, self.wire.copilot_usage().to_string())?;
            }
        }
        match fault {
            Fault::RepeatedTotals => say(&end)?,
            // Where there is no result, a program that does not end is silent; it has to be let go.
            Fault::HangAfterResult | Fault::IgnoresTerm if self.wire.cli != AgentCli::Aider => {
                if fault == Fault::IgnoresTerm {
                    ignore_term();
                }
                hang();
            }
            Fault::ExitOneAfterSuccess => return Ok(1),
            _ => {}
        }
        Ok(0)
    }

    fn fail(&mut self, class: AgentClass, resets_at: Option<i64>) -> io::Result<i32> {
        let (lines, stderr) = self.wire.failure(class, resets_at);
        say(&lines)?;
        if let Some(stderr) = stderr {
            eprintln!("{stderr}");
        }
        Ok(self.wire.failure_code(class))
    }
}

fn say(lines: &[String]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in lines {
        stdout.write_all(line.as_bytes())?;
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

fn say_in_pieces(lines: &[String]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in lines {
        for byte in line.as_bytes() {
            stdout.write_all(std::slice::from_ref(byte))?;
            if *byte >= 0x80 {
                stdout.flush()?;
                sleep(Duration::from_millis(2));
            }
        }
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

fn hang() -> ! {
    loop {
        sleep(Duration::from_hours(1));
    }
}

/// Blocked is as good as ignored.
fn ignore_term() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    let _ = signals.thread_block();
}

/// Children in sessions of their own, which hold this program's pipes; the middle one ends, so they have no parent.
fn leave_children(ignoring_term: bool) -> io::Result<()> {
    let line = if ignoring_term { "trap '' TERM; sleep 600 & sleep 600" } else { "sleep 600 & sleep 600" };
    let mut middle = Command::new("sh");
    middle.args(["-c", "setsid sh -c \"$0\" & setsid -f sleep 601", line]).stdin(Stdio::null());
    middle.status().map(|_| ())
}
