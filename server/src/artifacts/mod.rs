//! Artifact contents by digest.
