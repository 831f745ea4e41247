//! An order from its first run to its record: prompt, re-asks, fallbacks, votes, changes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::{
    AgentChoice, AgentOrder, AgentPrompt, AgentRecord, AgentRun, AgentTokens, AgentUsage, MicroUsd, RunPurpose,
};
use atta_core::time::Clock;
use serde_json::Value;

use super::run::{RunEnd, RunOrder, fresh_id, run, used_tokens};
use crate::adapters;
use crate::changes::{Start, path_of};
use crate::configuration::{self, Taken};
use crate::context;
use crate::inside;
use crate::prices::Prices;
use crate::record::Ledger;
use crate::skills;
use crate::transcript::{Transcript, cut_in_the_middle};
use crate::usage::{self, Before};
use crate::verdict::{self, Judge, Missing};

/// The longest final message in a record.
const LONGEST_FINAL_MESSAGE: usize = 64 << 10;

/// How often, and with which pause, the last record is tried again where it cannot be written.
const LAST_TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

/// The longest prompt that is read from a file.
const LONGEST_PROMPT: u64 = 8 << 20;

/// An attempt while it runs.
pub(super) struct Attempt<'a> {
    pub(super) order: &'a AgentOrder,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) prices: Prices,
    pub(super) told_to_end: Arc<AtomicBool>,
    pub(super) task_dir: PathBuf,
    /// Where the record lies, absolute.
    pub(super) files: PathBuf,
    /// Where the texts lie that it is to read, if there are any.
    pub(super) context: Option<PathBuf>,
    pub(super) ledger: Ledger,
    pub(super) transcript: Transcript,
}

/// What a choice has come to.
struct Ended {
    /// Absent when the attempt was told to end.
    class: Option<AgentClass>,
    message: String,
    verdict: Option<Value>,
}

impl Ended {
    fn error(message: String) -> Self {
        Self { class: Some(AgentClass::Error), message, verdict: None }
    }
}

/// What every session of the attempt is told.
struct Briefing {
    prompt: String,
    judge: Option<Judge>,
}

impl Attempt<'_> {
    /// Runs everything; what comes of it stands in the record.
    pub(super) fn perform(&mut self) {
        self.write_now();
        let start = if self.order.track_changes || self.order.expect_changes {
            self.directory().ok().and_then(|directory| Start::look(&directory, &self.environment))
        } else {
            None
        };
        let mut configured = None;
        let briefing = self.configure().and_then(|taken| {
            configured = taken;
            self.briefing()
        });
        let mut ended = match (briefing, &start) {
            (Err(message), _) => Ended::error(message),
            // A session that nobody could judge is not paid for.
            (Ok(_), None) if self.order.expect_changes => {
                let directory = self.directory().unwrap_or_else(|_| self.task_dir.clone());
                let directory = directory.display();
                Ended::error(format!(
                    "{directory} is in no git repository, so nobody would know whether the agent changed anything: \
                     check one out there, or leave `expect_changes` out"
                ))
            }
            (Ok(briefing), _) if self.order.vote > 1 => self.vote(&briefing),
            (Ok(briefing), _) => self.with_fallbacks(&briefing, RunPurpose::Work),
        };
        if let Some(taken) = configured {
            self.unconfigure(taken);
        }
        if let Some(start) = &start {
            let changes = start.changes(&self.environment);
            if changes.late {
                self.ledger.warn("git took too long to say what was changed, so not all of it is known".to_owned());
            }
            if changes.left_out > 0 {
                self.ledger.warn(format!("{} more files were changed than are named here", changes.left_out));
            }
            self.ledger.record.files_changed = changes.files;
            self.ledger.record.commits = changes.commits;
            if ended.class == Some(AgentClass::Done) && self.order.expect_changes && !changes.any && !changes.late {
                ended.class = Some(AgentClass::NoChange);
                "the agent says that it is done, but it changed nothing".clone_into(&mut ended.message);
            }
        }
        if let Some(class) = ended.class
            && ended.message.is_empty()
        {
            class.sentence().clone_into(&mut ended.message);
        }
        self.ledger.record.class = ended.class;
        self.ledger.record.message = ended.message;
        self.ledger.record.verdict = ended.verdict;
    }

    /// Writes the record in its last form.
    pub(super) fn finish(mut self) -> AgentRecord {
        let record = &self.ledger.record;
        let class = record.class.map_or("ended", AgentClass::as_str);
        let cost = record.usage.cost.map_or_else(|| "unknown cost".to_owned(), |cost| cost.to_string());
        let line = format!("{class}: {} ({} turns, {cost})", record.message, record.usage.turns);
        self.transcript.show("=", &line);
        self.transcript.flush(true);
        if self.transcript.is_broken() {
            self.ledger.warn("the transcript is not complete: it could not be written".to_owned());
        }
        self.write_at_last();
        self.ledger.record
    }

    /// Where it works.
    pub(super) fn directory(&self) -> Result<PathBuf, String> {
        directory_of(self.order, &self.task_dir, &self.environment)
    }

    /// What an order may name something in: a link in a checkout must lead nowhere else.
    fn places(&self) -> Vec<PathBuf> {
        configuration::places(self.task_dir.clone(), &self.environment)
    }

    /// Takes the agent's configuration from where the order says.
    fn configure(&self) -> Result<Option<Taken>, String> {
        let Some(revision) = &self.order.config_from else { return Ok(None) };
        let directory = self.directory()?;
        let more = &self.order.config_paths;
        configuration::take(&directory, &self.places(), revision, more, &self.environment).map(Some)
    }

    fn unconfigure(&mut self, taken: Taken) {
        match taken.give_back() {
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => self.ledger.warn(format!(
                "what the agent did to files that configure agents is not kept, for they come from `config_from`: {}",
                crate::transcript::on_one_line(&changed.join(", "), 500)
            )),
            Err(message) => self.ledger.warn(message),
        }
    }

    /// Skills, the prompt, and what is said about the verdict.
    fn briefing(&mut self) -> Result<Briefing, String> {
        let mut parts = Vec::new();
        let home = path_of(&self.environment, "HOME");
        let repository = self.directory()?;
        for name in &self.order.skills {
            parts.push(skills::find(name, &repository, home.as_deref()).map_err(|error| error.to_string())?);
        }
        parts.push(match &self.order.prompt {
            AgentPrompt::Text(text) => text.clone(),
            AgentPrompt::File(path) => self.read_prompt(&resolve(path, &self.task_dir, &self.environment)?)?,
        });
        parts.extend(self.material()?);
        let mut judge = None;
        if let Some(order) = &self.order.verdict {
            judge = Some(Judge::new(&order.schema).map_err(|error| error.to_string())?);
            parts.push(verdict::request(order));
        }
        Ok(Briefing { prompt: parts.join("\n\n---\n\n"), judge })
    }

    /// Writes what others wrote down as files, and says where they are.
    fn material(&mut self) -> Result<Option<String>, String> {
        let allowed = self.places();
        let resolve = |path: &str| resolve(path, &self.task_dir, &self.environment);
        let places = context::Places { task_dir: &self.task_dir, allowed: &allowed, resolve: &resolve };
        let mark = fresh_id().replace('-', "");
        let given = context::write(&self.order.context, &self.files, &mark, &places)?;
        Ok(given.map(|given| {
            self.context = Some(given.directory);
            given.prompt
        }))
    }

    fn read_prompt(&self, path: &Path) -> Result<String, String> {
        let shown = path.display();
        inside::text(path, Some(&self.places()), LONGEST_PROMPT)
            .map_err(|why| format!("the prompt {shown} cannot be read: {why}"))
    }

    /// The first choice, and the next one as long as the one before ended in one of its classes.
    fn with_fallbacks(&mut self, briefing: &Briefing, purpose: RunPurpose) -> Ended {
        let order = self.order;
        let mut ended = self.one_choice(briefing, &order.choice, purpose);
        for fallback in &order.fallback {
            let Some(class) = ended.class else { break };
            if !fallback.on.contains(&class) {
                continue;
            }
            if let Some(exhausted) = self.exhausted() {
                return exhausted;
            }
            self.ledger.warn(format!("{} ended with {class:?}: {}", purpose_of(purpose), ended.message));
            let next = &fallback.choice;
            let model = next.model.as_deref().unwrap_or("its default model");
            self.transcript.show("·", &format!("{}: trying {} with {model}", class.as_str(), next.cli));
            ended = self.one_choice(briefing, next, RunPurpose::Fallback);
        }
        ended
    }

    /// One session with a program, re-asks included.
    fn one_choice(&mut self, briefing: &Briefing, choice: &AgentChoice, purpose: RunPurpose) -> Ended {
        let order = self.order;
        // A fallback begins anew: the session may be what the one before it ended by.
        let wanted = order.resume.as_ref().filter(|_| purpose == RunPurpose::Work);
        let resume = wanted.filter(|session| session.cli == choice.cli).map(|session| session.id.as_str());
        if let (Some(session), None) = (wanted, resume) {
            self.ledger
                .warn(format!("{} cannot go on with a session of {}; it begins a new one", choice.cli, session.cli));
        }
        let mut first = RunOrder {
            choice,
            purpose,
            prompt: &briefing.prompt,
            system: order.system.as_deref(),
            resume,
            before: match resume {
                None => Before::Nothing,
                Some(session) => known(adapters::used_before(choice.cli, session, &self.environment)),
            },
        };
        let mut index = self.ledger.record.runs.len();
        let mut end = run(self, &first);
        if let Some(session) = first.resume
            && self.knows_no_session(index, &end)
        {
            let message = format!("{} does not know the session {session}; it begins a new one", choice.cli);
            self.transcript.show("·", &message);
            self.ledger.warn(message);
            (first.resume, first.before) = (None, Before::Nothing);
            index = self.ledger.record.runs.len();
            end = run(self, &first);
        }
        self.note_end(&end);
        let (Some(AgentClass::Done), Some(judge), Some(wanted)) = (end.class, &briefing.judge, &order.verdict) else {
            return Ended { class: end.class, message: end.message, verdict: None };
        };
        let mut found = judge.find(&end.final_message);
        for _ in 0..wanted.asks {
            let (Err(missing), Some(session)) = (&found, self.ledger.record.runs[index].session_id.clone()) else {
                break;
            };
            if self.told_to_end.load(Ordering::SeqCst) {
                return Ended { class: None, message: "the attempt was ended".to_owned(), verdict: None };
            }
            if let Some(exhausted) = self.exhausted() {
                return exhausted;
            }
            let prompt = verdict::request_again(wanted, missing);
            let same = |run: &&AgentRun| run.session_id.as_ref() == Some(&session);
            let runs = self.ledger.record.runs.iter().filter(same).map(|run| &run.usage);
            // The runs of this attempt, unless the session was there before.
            let before = match first.resume {
                None => known(usage::sum(runs).tokens),
                Some(_) => known(adapters::used_before(choice.cli, &session, &self.environment)),
            };
            let again = RunOrder {
                choice,
                purpose: RunPurpose::Reask,
                prompt: &prompt,
                system: order.system.as_deref(),
                resume: Some(&session),
                before,
            };
            let end = run(self, &again);
            if end.class != Some(AgentClass::Done) {
                self.note_end(&end);
                return unanswered(end);
            }
            found = judge.find(&end.final_message);
            if found.is_ok() {
                self.note_end(&end);
            }
        }
        match found {
            Ok(verdict) => {
                Ended { class: Some(verdict::class_of(&verdict)), message: said(&verdict), verdict: Some(verdict) }
            }
            Err(_) if !wanted.required => {
                Ended { class: Some(AgentClass::Done), message: String::new(), verdict: None }
            }
            Err(missing) => {
                let message = match missing {
                    Missing::NoObject => "the final message holds no JSON object".to_owned(),
                    Missing::Invalid(errors) => {
                        format!("the JSON object in the final message does not match the schema: {errors}")
                    }
                };
                Ended { class: Some(AgentClass::NoVerdict), message, verdict: None }
            }
        }
    }

    /// Whether a run came to nothing because there is no such session as it was to go on with, and another one may begin.
    /// Its words have to say so: after any other error the session is there, with all that was paid for it.
    fn knows_no_session(&self, index: usize, end: &RunEnd) -> bool {
        let usage = &self.ledger.record.runs[index].usage;
        let used_nothing = usage.turns == 0
            && usage.cost.is_none_or(|cost| cost == MicroUsd(0))
            && usage.tokens.is_none_or(|tokens| tokens == AgentTokens::default());
        end.no_session && end.class == Some(AgentClass::Error) && used_nothing && self.exhausted().is_none()
    }

    /// Independent sessions one after the other, and what most of them say.
    fn vote(&mut self, briefing: &Briefing) -> Ended {
        let voters = self.order.vote;
        let mut verdicts = Vec::new();
        for _ in 0..voters {
            if self.told_to_end.load(Ordering::SeqCst) {
                return Ended { class: None, message: "the attempt was ended".to_owned(), verdict: None };
            }
            if let Some(exhausted) = self.exhausted() {
                return exhausted;
            }
            let ended = self.with_fallbacks(briefing, RunPurpose::Vote);
            match (ended.class, ended.verdict) {
                (_, Some(verdict)) => verdicts.push(verdict),
                // An agent that fails has no vote; what would stop the others as well stops the attempt.
                (
                    Some(
                        AgentClass::Error
                        | AgentClass::NoVerdict
                        | AgentClass::Done
                        | AgentClass::Stalled
                        | AgentClass::Context,
                    ),
                    None,
                ) => {
                    self.ledger.warn(format!("a voter has no vote: {}", ended.message));
                }
                (class, None) => return Ended { class, message: ended.message, verdict: None },
            }
        }
        let fields = self.order.verdict.as_ref().map(|order| order.vote_fields.as_slice()).unwrap_or_default();
        let cast: Vec<&Value> = verdicts.iter().collect();
        match verdict::majority(&cast, fields, voters) {
            Some(verdict) => Ended {
                class: Some(verdict::class_of(verdict)),
                message: said(verdict),
                verdict: Some(verdict.clone()),
            },
            None => Ended {
                class: Some(AgentClass::NoVerdict),
                message: format!(
                    "of {voters} voters, {} had a vote, and no verdict has more than half of them all",
                    verdicts.len()
                ),
                verdict: None,
            },
        }
    }

    /// What a run leaves for the whole attempt.
    fn note_end(&mut self, end: &RunEnd) {
        self.ledger.record.final_message = cut_in_the_middle(&end.final_message, LONGEST_FINAL_MESSAGE);
        if end.limit.is_some() {
            self.ledger.record.limit.clone_from(&end.limit);
        }
        self.write_now();
    }

    /// What is left of turns and money.
    pub(super) fn left(&self) -> (Option<u32>, Option<MicroUsd>) {
        let (limits, usage) = (&self.order.limits, &self.ledger.record.usage);
        let turns = limits.turns.map(|turns| turns.saturating_sub(usage.turns));
        let usd = limits.usd.map(|usd| MicroUsd(usd.0.saturating_sub(self.at_least(usage, &cost_of))));
        (turns, usd)
    }

    /// Whether more was used than allowed.
    pub(super) fn overrun(&self) -> Option<(AgentClass, String)> {
        let (limits, usage) = (&self.order.limits, &self.ledger.record.usage);
        if let Some(most) = limits.turns.filter(|most| usage.turns > *most) {
            return Some((AgentClass::MaxTurns, format!("it took more than {most} turns")));
        }
        self.spent(usage, |used, most| used > most)
    }

    /// Whether nothing is left for another run.
    fn exhausted(&self) -> Option<Ended> {
        let (limits, usage) = (&self.order.limits, &self.ledger.record.usage);
        let over = match limits.turns.filter(|most| usage.turns >= *most) {
            Some(most) => Some((AgentClass::MaxTurns, format!("all {most} turns are used"))),
            None => self.spent(usage, |used, most| used >= most).or_else(|| self.unknown()),
        };
        over.map(|(class, message)| Ended { class: Some(class), message, verdict: None })
    }

    fn spent(&self, usage: &AgentUsage, over: fn(u64, u64) -> bool) -> Option<(AgentClass, String)> {
        let limits = &self.order.limits;
        let tokens = self.at_least(usage, &used_tokens);
        if let Some(most) = limits.tokens.filter(|most| over(tokens, *most)) {
            return Some((AgentClass::Budget, format!("it used {tokens} tokens of {most}")));
        }
        let cost = self.at_least(usage, &cost_of);
        let most = limits.usd.filter(|most| over(cost, most.0))?;
        Some((AgentClass::Budget, format!("it used {} of {most}", MicroUsd(cost))))
    }

    /// What all runs used; what only some of them say is a lower bound of it.
    fn at_least(&self, usage: &AgentUsage, of: &dyn Fn(&AgentUsage) -> Option<u64>) -> u64 {
        of(usage).unwrap_or_else(|| self.ledger.record.runs.iter().filter_map(|run| of(&run.usage)).sum())
    }

    /// A limit of which nobody knows what is left of it: no further run is paid for.
    fn unknown(&self) -> Option<(AgentClass, String)> {
        let run = self.ledger.record.runs.iter().find(|run| self.hides_its_use(run))?;
        let message = format!("nobody knows what is left of its limits: {} did not say what it used", run.choice.cli);
        Some((AgentClass::Budget, message))
    }

    /// Whether a run did something and does not say how much, where that is limited.
    fn hides_its_use(&self, run: &AgentRun) -> bool {
        let (limits, usage) = (&self.order.limits, &run.usage);
        usage.turns > 0
            && (limits.usd.is_some() && usage.cost.is_none() || limits.tokens.is_some() && usage.tokens.is_none())
    }

    pub(super) fn begin_run(&mut self, order: &RunOrder<'_>) {
        self.ledger.record.runs.push(AgentRun {
            choice: order.choice.clone(),
            purpose: order.purpose,
            class: None,
            session_id: None,
            model: None,
            usage: AgentUsage::default(),
            exit_code: None,
            started_at: self.clock.now(),
            ended_at: None,
        });
        let number = self.ledger.record.runs.len();
        let model = order.choice.model.as_deref().unwrap_or("its default model");
        self.transcript.begin_run(number, order.choice.cli.as_str());
        self.transcript
            .show("·", &format!("run {number}: {} with {model} ({})", order.choice.cli, purpose_of(order.purpose)));
        self.write_now();
    }

    pub(super) fn end_run(&mut self, index: usize, end: &RunEnd, status: Option<ExitStatus>) {
        let ended_at = self.clock.now();
        let run = &mut self.ledger.record.runs[index];
        run.class = end.class;
        run.exit_code = status.and_then(|status| status.code());
        run.ended_at = Some(ended_at);
        let run = &self.ledger.record.runs[index];
        if self.hides_its_use(run) {
            let cli = run.choice.cli;
            self.ledger.warn(format!("{cli} did not say what it used, so its limits could not be kept"));
        }
        if end.class == Some(AgentClass::Done)
            && let Some((_, message)) = self.overrun()
        {
            self.ledger.warn(format!("only its end told that {message}"));
        }
        self.transcript.flush(false);
        self.write_now();
    }

    pub(super) fn write_now(&mut self) {
        let written = self.ledger.write(self.clock.monotonic());
        self.complain(written);
    }

    pub(super) fn write_soon(&mut self, now: Duration) {
        self.transcript.flush(false);
        let written = self.ledger.write_soon(now);
        self.complain(written);
    }

    /// What the work came to is worth some patience with a disk that is full.
    fn write_at_last(&mut self) {
        for _ in 0..LAST_TRIES {
            let written = self.ledger.write(self.clock.monotonic());
            if written.is_ok() {
                return;
            }
            self.complain(written);
            std::thread::sleep(BETWEEN_TRIES);
        }
        self.write_now();
    }

    /// Says it once, not with every try.
    fn complain(&mut self, written: std::io::Result<()>) {
        if let Err(error) = written
            && !std::mem::replace(&mut self.ledger.complained, true)
        {
            self.transcript.show("!", &format!("the record cannot be written: {error}"));
        }
    }
}

/// Where an order's agent works.
pub(super) fn directory_of(
    order: &AgentOrder,
    task_dir: &Path,
    environment: &[(OsString, OsString)],
) -> Result<PathBuf, String> {
    let directory = match order.directory.as_deref() {
        Some(directory) => resolve(directory, task_dir, environment)?,
        None => task_dir.to_owned(),
    };
    let known = directory.canonicalize().ok().filter(|directory| directory.is_dir());
    let known = known.ok_or_else(|| format!("the agent's directory {} is not there", directory.display()))?;
    if !inside::is_below(&known, &configuration::places(task_dir.to_owned(), environment)) {
        let why = inside::ReadError::Elsewhere;
        return Err(format!("the agent's directory {} cannot be used: {why}", directory.display()));
    }
    Ok(known)
}

/// A path of an order: relative to TASK_DIR, or below the workspace.
fn resolve(path: &str, task_dir: &Path, environment: &[(OsString, OsString)]) -> Result<PathBuf, String> {
    match path.strip_prefix("$JOB_WORKSPACE") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let workspace = path_of(environment, "JOB_WORKSPACE");
            let workspace = workspace.ok_or_else(|| format!("{path}: this attempt has no JOB_WORKSPACE"))?;
            Ok(workspace.join(rest.trim_start_matches('/')))
        }
        _ => Ok(task_dir.join(path)),
    }
}

/// A session that was to say its verdict once more and could not. Its work is done, so it is not what the class alone would
/// say: whoever begins anew after a limit of the account would do that work twice.
fn unanswered(end: RunEnd) -> Ended {
    match end.class {
        None | Some(AgentClass::MaxTurns | AgentClass::Budget) => {
            Ended { class: end.class, message: end.message, verdict: None }
        }
        Some(class) => {
            let message = format!(
                "the agent ended without a verdict, and when it was asked again it ended with {}: {}",
                class.as_str(),
                end.message
            );
            Ended { class: Some(AgentClass::NoVerdict), message, verdict: None }
        }
    }
}

fn known(tokens: Option<AgentTokens>) -> Before {
    tokens.map_or(Before::Unknown, Before::Tokens)
}

fn cost_of(usage: &AgentUsage) -> Option<u64> {
    usage.cost.map(|cost| cost.0)
}

/// What a verdict says in words, if it does.
fn said(verdict: &Value) -> String {
    let said = ["message", "summary", "reason"].iter().find_map(|field| verdict.get(field)?.as_str());
    said.map(|said| crate::transcript::on_one_line(said, 500)).unwrap_or_default()
}

fn purpose_of(purpose: RunPurpose) -> &'static str {
    match purpose {
        RunPurpose::Work => "to work",
        RunPurpose::Reask => "to be asked again",
        RunPurpose::Fallback => "as a fallback",
        RunPurpose::Vote => "to vote",
    }
}
