//! floe promotes OCI artifacts through environments.

pub mod api;
pub mod cli;
pub mod controllers;
pub mod domain;
pub mod effects;
