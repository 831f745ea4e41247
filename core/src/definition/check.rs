//! Checks that need the whole definition: the graph, and the names that templates use.

use super::JobDefinition;
use super::problems::Problems;

pub(super) fn check(_definition: &JobDefinition, _graph_incomplete: bool, _problems: &mut Problems) {}
