//! The command line as people and pipelines meet it: the real binary against an API server and a registry
//! in this process.

#[cfg(test)]
mod api_server;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod audit_logs;
#[cfg(test)]
#[path = "../support/registry/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the registry's own tests use the rest of it"
)]
mod double;
#[cfg(test)]
mod gc;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod look;
#[cfg(test)]
mod promote;
#[cfg(test)]
mod publish;
#[cfg(test)]
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "the registry's own tests use the rest of it")]
mod records;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod validate;
