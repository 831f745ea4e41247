//! The words that a route can lead to instead of a task.

/// A word: how it is written, the example that shows it, and what it means.
pub(in super::super) struct Word {
    pub(in super::super) name: &'static str,
    pub(in super::super) example: &'static str,
    pub(in super::super) doc: &'static str,
}

const fn word(name: &'static str, example: &'static str, doc: &'static str) -> Word {
    Word { name, example, doc }
}

/// All of them; names that begin with `ERR_` stand for a family.
pub(in super::super) const WORDS: &[Word] = &[
    word(
        "COMPLETED",
        "words",
        "The task counts as completed, whatever its exit code; the route for `COMPLETED` is followed if there is one.",
    ),
    word(
        "FAILED",
        "words",
        "The task counts as failed, whatever its exit code; `retry` is used up first, then the route for `FAILED` is \
         followed if there is one.",
    ),
    word(
        "FATAL",
        "fatal",
        "The job stops and FAILS: what runs is killed, everything else is cancelled, and neither the task nor the job \
         is tried again. `always_run` tasks still run.",
    ),
    word(
        "RESTART_TASK",
        "restart-task",
        "Another attempt of the task, out of its `retry`. With none left it failed with `ERR_RESTART_TASK`.",
    ),
    word(
        "RESTART_JOB",
        "restart-job",
        "The job stops, runs its `always_run` tasks and begins again from its start, out of the job's `retry`. With \
         none left the job fails with `RESTART_LIMIT`.",
    ),
    word(
        "PAUSE_JOB",
        "pause",
        "The job is PAUSED: what runs finishes, nothing else starts. After `resume`, or the job's `resume_after`, the \
         task gets a new attempt of the same visit.",
    ),
    word(
        "RESCHEDULE",
        "reschedule",
        "Not yet: the task frees its place and gets another attempt of the same visit 2 minutes later, for at most 14 \
         days; then its result is `EXPIRED`. The long form `{reschedule: 30s, until: 2h}` sets both times.",
    ),
    word("EXECUTING", "reschedule", "Another name for `RESCHEDULE`."),
    word("END_COMPLETED", "time-limits", "The path ends here, and is no reason against a job that is COMPLETED."),
    word("END_FAILED", "words", "The path ends here, and the job is FAILED."),
    word("END_BLOCKED", "blocked", "The path ends here, and the job is BLOCKED unless something else failed it."),
    word("ERR_", "exit-codes", "`ERR_<NAME>`: the task failed with this error code, which the job shows."),
];

/// Results that are not exit codes, and what they mean.
pub(super) const RESULTS: &[(&str, &str)] = &[
    ("TIMED_OUT", "The attempt ran longer than `timeout`."),
    ("IDLE_TIMED_OUT", "It neither wrote nor worked for `idle_timeout`."),
    ("QUEUE_TIMED_OUT", "No ant took it in time."),
    ("START_FAILED", "Its process could not be started."),
    ("KILLED", "A signal that was not ours ended it, such as the kernel's when memory is short."),
    ("LOST", "Its ant died, and it could not be taken up again."),
    ("CANCELLED", "It was cancelled."),
    ("INVALID", "A template could not be rendered, or an artifact or output was missing or of the wrong type."),
    ("EXPIRED", "It was rescheduled until its limit."),
    ("LOOP_LIMIT", "The loop that it heads came round more often than `max_visits`."),
    ("APPROVED", "People approved what the task asks them."),
    ("REJECTED", "Somebody rejected it, or nobody decided in time."),
];
