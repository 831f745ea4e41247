//! The compiled form of a definition: edges, entries, loops, routes.
