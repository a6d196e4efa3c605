//! What floe decides: plain values in, plain values out. No I/O, no clock, no logging.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod artifact;
pub mod compliance;
pub mod gates;
pub mod layout;
