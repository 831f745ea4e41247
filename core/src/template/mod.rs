//! The template language and contextual shell quoting.
