//! What a WAITING job waits for, in words.

use super::decide::Step;
use super::effect::Effect;
use super::status::JobState;
use super::units::{Course, Hold};

impl Step<'_> {
    /// The first task that waits, in declaration order, and how many more there are.
    pub(super) fn waits_for(&self) -> Option<String> {
        let task = *self.run.waiting.first()?;
        let name = self.plan.task_name(task);
        let state = self.task(task);
        let instance = state.fan.as_deref().and_then(|fan| fan.waiting.first().map(|index| (*index, fan)));
        let (who, course) = match instance.and_then(|(index, fan)| Some((index, fan, fan.instance(index)?))) {
            Some((index, fan, instance)) => {
                (format!("task \"{name}\" (item {index} of {})", fan.len()), &instance.course)
            }
            None => (format!("task \"{name}\""), &state.course),
        };
        let more = match self.run.waiting.len() {
            1 => String::new(),
            tasks => format!(", and {} more", tasks - 1),
        };
        Some(format!("{who} {}{more}", self.waits_how(course)))
    }

    fn waits_how(&self, course: &Course) -> String {
        match (course.hold, course.current.and_then(|attempt| self.run.reasons.get(&attempt))) {
            (Hold::Until(due), _) => format!("begins again at {}", due.to_rfc3339()),
            (_, Some(reason)) => format!("waits for {reason}"),
            _ => "waits".to_owned(),
        }
    }

    /// A job that stays WAITING may wait for something else.
    pub(super) fn update_wait_reason(&mut self, reason: Option<String>) {
        if self.run.state == JobState::Waiting && reason != self.run.wait_reason {
            self.run.wait_reason.clone_from(&reason);
            self.emit(Effect::JobChanged { from: JobState::Waiting, to: JobState::Waiting, reason });
        }
    }
}
