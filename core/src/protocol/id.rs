//! Identifiers. Minted by the queen from injected clock and entropy; opaque to everybody else.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::AttemptNumber;

/// Identifies a job: `job_` and a UUIDv7 in hex, so that ids sort by creation time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct JobId(pub String);

/// Identifies an attempt: the job's id, a dash and the attempt's number. Safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AttemptId(pub String);

/// Identifies an ant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AntId(pub String);

/// The BLAKE3 digest of some content, 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Digest(pub String);

impl AttemptId {
    /// The id of attempt `number` of `job`.
    pub fn new(job: &JobId, number: AttemptNumber) -> Self {
        Self(format!("{}-{}", job.0, number.0))
    }

    /// The job and the number that this id is made of; `None` for text that is no attempt id.
    pub fn parts(&self) -> Option<(JobId, AttemptNumber)> {
        let (job, number) = self.0.rsplit_once('-')?;
        Some((JobId(job.to_owned()), AttemptNumber(number.parse().ok()?)))
    }
}

impl Digest {
    /// Whether this has the form of a digest (so that it can be used as a file name).
    pub fn is_well_formed(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }
}

macro_rules! display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
display!(JobId, AttemptId, AntId, Digest);
