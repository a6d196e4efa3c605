//! `floe-gate`.

fn main() {}
