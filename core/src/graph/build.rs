//! From a definition to a plan.

use super::Plan;
use crate::definition::{Diagnostic, JobDefinition};

pub(super) fn build(_definition: &JobDefinition) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    Err(Vec::new())
}
