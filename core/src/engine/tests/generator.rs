//! Random graphs that are valid by construction: edges lead forward in declaration order, except routes back to tasks
//! with `max_visits` and dependencies that close a loop.

use std::time::Duration;

use super::kit::{Random, condition, depends, job, retries, route, task};
use crate::definition::{
    FailOn, FanOut, Field, JobDefinition, RetryDelay, RetryFrom, RouteMatch, RouteTarget, Severity,
};
use crate::engine::ResultName;
use crate::graph::Plan;

/// What a generated definition may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// Loops, also nested, irreducible and entered from several places.
    pub(crate) loops: bool,
    pub(crate) always_run: bool,
    /// FATAL, RESTART_JOB, fail_fast: the moment of the stop decides what else has happened.
    pub(crate) stops: bool,
    pub(crate) pauses: bool,
    pub(crate) job_retry: bool,
}

pub(crate) fn definition(seed: u64, features: Features) -> JobDefinition {
    let mut random = Random(seed);
    let count = 2 + random.below(11);
    let names: Vec<String> = (0..count).map(|index| format!("t{index}")).collect();
    let mut tasks: Vec<_> = names.iter().map(|name| task(name)).collect();
    let density = 15 + random.next() % 40;
    let mut targets: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut sources: Vec<Vec<(usize, bool)>> = vec![Vec::new(); count];

    for (to, sources) in sources.iter_mut().enumerate() {
        for (from, targets) in targets.iter_mut().enumerate().take(to) {
            if !random.chance(density) || (from + 4 < to && random.chance(60)) {
                continue;
            }
            if random.chance(50) {
                targets.push(to);
            } else {
                sources.push((from, random.chance(25)));
            }
        }
    }
    if features.loops {
        for _ in 0..random.below(4) {
            let header = random.below(count);
            let from = header + random.below(count - header);
            tasks[header].max_visits = Some(1 + u32::try_from(random.below(3)).unwrap());
            targets[from].push(header);
            // A loop that nothing enters must have the first task.
            let entered =
                sources[header].iter().any(|_| true) || (0..header).any(|task| targets[task].contains(&header));
            if header > 0 && !entered {
                targets[random.below(header)].push(header);
            }
            if from > header && random.chance(25) {
                // Brings artifacts of the latest round, starts nothing.
                sources[header].push((from, random.chance(50)));
            }
        }
    }
    let from_always_run = if features.always_run { count - random.below(3).min(count - 1) } else { count };
    for index in 0..count {
        let always_run = index >= from_always_run
            && tasks[index].max_visits.is_none()
            && !targets[index].iter().any(|to| *to <= index);
        let entry = &mut tasks[index];
        entry.always_run = always_run;
        let mut listed: Vec<_> =
            sources[index].iter().map(|(from, optional)| depends(&names[*from], *optional)).collect();
        if random.chance(8) {
            listed.push(depends(&names[index], true));
        }
        let leads_here = (0..count).any(|from| targets[from].contains(&index));
        if !listed.is_empty() || !leads_here {
            entry.dependencies = Some(listed);
        }
        entry.allow_failure = random.chance(12);
        if !always_run && random.chance(15) {
            entry.when = Some(condition());
        }
        if random.chance(20) {
            entry.retry = retries(1 + u32::try_from(random.below(2)).unwrap());
            if random.chance(50) {
                entry.retry.delay = RetryDelay::Constant(Field::Value(Duration::from_secs(random.next() % 3)));
            }
            if random.chance(20) {
                entry.retry.retry_on = vec![RouteMatch::Code(3)];
            }
        }
        if random.chance(20) {
            entry.fan_out = Some(fan_out(&mut random, features));
        }
        if features.stops && random.chance(10) {
            entry.queue_timeout = Some(Field::Value(Duration::from_secs(1 + random.next() % 10)));
        }
        entry.routes = routes(&mut random, &names, &mut targets[index], always_run, features);
    }
    let mut definition = job(tasks);
    if random.chance(20) {
        definition.fail_on = FailOn::AnyFailure;
    }
    if features.stops && random.chance(15) {
        definition.fail_fast = true;
    }
    if features.job_retry && random.chance(30) {
        definition.retry = retries(1 + u32::try_from(random.below(2)).unwrap());
        definition.retry_from = if random.chance(50) { RetryFrom::Start } else { RetryFrom::Failed };
    }
    if features.stops && random.chance(15) {
        definition.timeout = Some(Field::Value(Duration::from_secs(1 + random.next() % 60)));
    }
    if features.pauses && random.chance(50) {
        definition.resume_after = Some(Field::Value(Duration::from_mins(5)));
    }
    repair(definition)
}

fn fan_out(random: &mut Random, features: Features) -> FanOut {
    FanOut {
        max_parallel: random.chance(50).then(|| Field::Value(1 + u32::try_from(random.below(3)).unwrap())),
        // Which instances still run when one fails depends on the order of events.
        fail_fast: features.stops && random.chance(30),
        ..super::kit::fan_out()
    }
}

/// Lists of routes may be split by a loop, and a loop may have lost what led into it.
fn repair(mut definition: JobDefinition) -> JobDefinition {
    for _ in 0..3 {
        let Err(problems) = Plan::build(&definition) else { break };
        for problem in problems.iter().filter(|problem| problem.severity == Severity::Error) {
            let name = problem.message.split('"').nth(1).unwrap_or_default();
            let Some(task) = definition.tasks.iter_mut().find(|task| task.name == name) else { continue };
            match problem.code {
                "E-LOOP-SPLIT" => {
                    for route in &mut task.routes {
                        if let RouteTarget::Tasks(targets) = &mut route.target {
                            targets.truncate(1);
                        }
                    }
                }
                "E-UNREACHABLE" => task.dependencies.get_or_insert_default().push(depends("t0", false)),
                _ => {}
            }
        }
    }
    definition
}

fn routes(
    random: &mut Random,
    names: &[String],
    targets: &mut Vec<usize>,
    always_run: bool,
    features: Features,
) -> Vec<crate::definition::Route> {
    let mut matches = vec![
        RouteMatch::Completed,
        RouteMatch::Failed,
        RouteMatch::Code(0),
        RouteMatch::Code(1),
        RouteMatch::Code(3),
        RouteMatch::Range(2, 5),
        RouteMatch::Result(ResultName::TimedOut),
        RouteMatch::Result(ResultName::LoopLimit),
        RouteMatch::Result(ResultName::Approved),
        RouteMatch::Result(ResultName::Rejected),
        RouteMatch::Any,
    ];
    let mut routes = Vec::new();
    targets.dedup();
    while let Some(target) = targets.pop() {
        if matches.is_empty() {
            break;
        }
        let chosen = matches.swap_remove(if random.chance(40) { 0 } else { random.below(matches.len()) });
        let mut list = vec![names[target].clone()];
        if random.chance(20)
            && let Some(other) = targets.last()
            && names[*other] != list[0]
        {
            list.push(names[*other].clone());
            targets.pop();
        }
        let mut entry = route(chosen, RouteTarget::Tasks(list));
        if random.chance(15) {
            entry.max = Some(1 + u32::try_from(random.below(2)).unwrap());
        }
        routes.push(entry);
    }
    for _ in 0..random.below(4) {
        if matches.is_empty() {
            break;
        }
        let chosen = matches.swap_remove(random.below(matches.len()));
        let mut words = vec![
            RouteTarget::Completed,
            RouteTarget::Failed,
            RouteTarget::RestartTask,
            RouteTarget::Error("ERR_X".to_owned()),
        ];
        if !always_run {
            let (after, until) = (Field::Value(Duration::from_secs(1)), Field::Value(Duration::from_hours(24)));
            words.extend([RouteTarget::EndCompleted, RouteTarget::EndFailed, RouteTarget::EndBlocked]);
            // In the end every attempt exits with 0: that must not wait again.
            let ends = match chosen {
                RouteMatch::Code(code) => code != 0,
                RouteMatch::Result(name) => name == ResultName::TimedOut,
                RouteMatch::Range(..) => true,
                _ => false,
            };
            if ends {
                words.push(RouteTarget::Reschedule { after, until });
            }
            if features.stops {
                words.extend([RouteTarget::Fatal, RouteTarget::RestartJob]);
            }
            if ends && features.pauses {
                words.push(RouteTarget::PauseJob);
            }
        }
        routes.push(route(chosen, random.pick(&words).clone()));
    }
    routes
}
