//! What the core costs without any input or output.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use atta_core::definition::{JobDefinition, Limits, load};
use atta_core::engine::{AttemptResult, Effect, Event, JobRun, JobState, Stamped, decide as step};
use atta_core::graph::Plan;
use atta_core::time::UnixMillis;

use crate::figure::{Reporter, percentile};
use crate::throughput;

const TASKS: usize = 10_000;

/// Loading, checking and compiling a file with 10 000 tasks.
pub(crate) fn definition(reporter: &Reporter) -> anyhow::Result<()> {
    for (name, chained) in [("definition_10000_independent_tasks", false), ("definition_10000_chained_tasks", true)] {
        let source = throughput::definition("bench-large", TASKS, chained);
        let mut samples = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let definition = parsed(&source)?;
            let plan = compiled(&definition)?;
            samples.push(start.elapsed().as_secs_f64());
            ensure!(plan.len() == TASKS, "tasks got lost");
        }
        reporter.figure(name, percentile(&mut samples, 0.5), "s", Some("<= 1 s"));
    }
    Ok(())
}

/// Events per second through `decide`: jobs whose tasks all succeed.
pub(crate) fn decide(reporter: &Reporter) -> anyhow::Result<()> {
    for (name, chained) in [("decide_10000_independent_tasks", false), ("decide_10000_chained_tasks", true)] {
        let definition = parsed(&throughput::definition("bench-large", TASKS, chained))?;
        let plan = compiled(&definition)?;
        let mut samples = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let events = play(&plan)?;
            samples.push(f64::from(events) / start.elapsed().as_secs_f64());
        }
        reporter.figure(name, percentile(&mut samples, 0.5), "events/s", None);
    }
    Ok(())
}

fn parsed(source: &str) -> anyhow::Result<JobDefinition> {
    let loaded = load("bench.yaml", source.as_bytes(), &Limits::default());
    loaded.definition.with_context(|| format!("the definition is refused: {:?}", loaded.diagnostics))
}

fn compiled(definition: &JobDefinition) -> anyhow::Result<Plan> {
    let (plan, _) = Plan::build(definition).map_err(|problems| anyhow::anyhow!("no plan: {problems:?}"))?;
    Ok(plan)
}

/// Runs a job to its end with an ant that succeeds at once; returns the number of events.
fn play(plan: &Plan) -> anyhow::Result<u32> {
    let mut run = JobRun::new(plan);
    let mut events = VecDeque::from([Event::Admitted]);
    let mut count = 0_u32;
    while let Some(event) = events.pop_front() {
        count += 1;
        let stamped = Stamped { at: UnixMillis(i64::from(count)), entropy: u64::from(count), event };
        for effect in step(plan, &mut run, &stamped)? {
            if let Effect::AttemptCreated { attempt, .. } = effect {
                events.extend([
                    Event::AttemptLeased { attempt },
                    Event::AttemptStarted { attempt },
                    Event::AttemptFinished {
                        attempt,
                        result: AttemptResult::Exit(0),
                        failure: None,
                        retry_after: None,
                    },
                ]);
            }
        }
    }
    ensure!(run.state() == JobState::Completed, "the job ended {:?}", run.state());
    Ok(count)
}
