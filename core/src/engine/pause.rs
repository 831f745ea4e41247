//! Pause and resume: nothing new is started; what runs finishes and is routed.

use super::decide::{Done, Step};
use super::effect::Effect;
use super::error::EngineError;
use super::event::{TaskIndex, Timer};
use super::run::Phase;
use super::status::{JobState, TaskState};
use super::units::Hold;

impl Step<'_> {
    pub(super) fn pause_requested(&mut self) -> Done {
        match self.run.phase {
            Phase::Over => Err(EngineError::JobTerminal(self.run.state)),
            Phase::Before => Err(EngineError::NotStarted),
            Phase::Stopping | Phase::Final => Err(EngineError::Stopping),
            Phase::Ordinary | Phase::Between => self.pause("paused by request".to_owned()),
        }
    }

    /// PAUSE_JOB: on resume the task gets a new attempt of this visit, or the instances that did not complete do.
    pub(super) fn pause_by_task(&mut self, task: TaskIndex) -> Done {
        if self.task(task).state != TaskState::Waiting {
            self.set_task_state(task, TaskState::Waiting)?;
        }
        self.task_mut(task).course.hold = Hold::Resume;
        self.run.pause.held.push(task);
        self.pause(format!("task \"{}\" paused the job", self.plan.task_name(task)))
    }

    pub(super) fn pause(&mut self, reason: String) -> Done {
        if self.run.pause.active {
            return Ok(());
        }
        self.run.pause.active = true;
        self.run.pause.count += 1;
        self.set_job_state(JobState::Paused, Some(reason))?;
        if let Some(after) = self.plan.job.resume_after {
            let due = self.at.plus(after);
            self.run.pause.due = Some(due);
            self.emit(Effect::SetTimer { timer: Timer::Resume { pause: self.run.pause.count }, due });
        }
        Ok(())
    }

    pub(super) fn resume_requested(&mut self) -> Done {
        match self.run.state {
            JobState::Paused => self.resume(),
            state if state.is_terminal() => Err(EngineError::JobTerminal(state)),
            state => Err(EngineError::NotPaused(state)),
        }
    }

    /// Ignored when that pause is over; set again when it fired before its time.
    pub(super) fn resume_due(&mut self, pause: u32) -> Done {
        let Some(due) = self.run.pause.due.filter(|_| self.run.pause.active && self.run.pause.count == pause) else {
            return Ok(());
        };
        if self.at < due {
            self.emit(Effect::SetTimer { timer: Timer::Resume { pause }, due });
            return Ok(());
        }
        self.resume()
    }

    fn resume(&mut self) -> Done {
        for task in self.end_pause() {
            match self.task(task).course.hold {
                Hold::Start => {
                    self.task_mut(task).course.hold = Hold::None;
                    self.go(task)?;
                }
                Hold::Resume if self.plan_task(task).fan_out.is_some() => {
                    self.task_mut(task).course.hold = Hold::None;
                    self.begin_unfinished(task, false)?;
                }
                Hold::Resume => self.begin_attempt(task.into())?,
                Hold::None | Hold::Condition | Hold::Items | Hold::Until(_) => {}
            }
        }
        if self.run.next.as_ref().is_some_and(|next| next.due_passed) {
            self.begin_next_attempt()?;
        }
        Ok(())
    }

    /// Ends the pause without starting anything, and says what it held back.
    pub(super) fn end_pause(&mut self) -> Vec<TaskIndex> {
        self.run.pause.active = false;
        if self.run.pause.due.take().is_some() {
            self.emit(Effect::ClearTimer { timer: Timer::Resume { pause: self.run.pause.count } });
        }
        self.watch_queue_anew();
        let held = std::mem::take(&mut self.run.pause.held);
        for task in &held {
            if let Some(fan) = self.fan_mut(*task) {
                fan.held = false;
                self.touched.push(*task);
            }
        }
        held
    }
}
