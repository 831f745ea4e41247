//! A second, independent evaluation of joins and dead paths.
