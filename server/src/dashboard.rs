//! The files of the dashboard, which the program brings.

/// Finds a file by its path in the built dashboard: `index.html` as it is, others, such as `assets/index-1a2b.js`, compressed by
/// gzip (RFC 1952).
pub type Files = fn(path: &str) -> Option<&'static [u8]>;

/// A program without a dashboard; it says so at `/`.
pub fn none(_path: &str) -> Option<&'static [u8]> {
    None
}
