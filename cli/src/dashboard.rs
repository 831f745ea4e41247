//! The built dashboard, inside the program. `npm run build` in `dashboard/` writes what is read here when this is compiled.

/// Its files: names and contents.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// A file of the dashboard; none when it was not built.
pub(crate) fn file(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find_map(|(name, bytes)| (*name == path).then_some(*bytes))
}
