//! The `biophony` program.

fn main() {}
