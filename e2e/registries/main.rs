//! floe's registry code against real registries, with real cosign, crane, regctl, skopeo and helm as witnesses.
//! No cluster. `e2e/registries/run [WORD OF A TEST'S NAME...]` runs it.

#![expect(unreachable_pub, reason = "a program has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, has a clock, and waits"
)]

#[path = "../rig/certificates.rs"]
#[expect(dead_code, reason = "the rig needs more of it")]
mod certificates;
#[path = "../rig/oci.rs"]
#[expect(dead_code, reason = "the rig needs more of it")]
mod oci;
#[path = "../rig/process.rs"]
#[expect(dead_code, reason = "the rig needs more of it")]
mod process;
#[path = "../rig/registries.rs"]
#[expect(dead_code, reason = "the rig needs more of it")]
mod registries;
#[path = "../rig/wait.rs"]
mod wait;

mod carry;
mod made;
mod programs;
mod stand;
mod token_service;

mod crowd;
mod expiry;
mod kinds;
mod record_keys;
mod signatures;
mod ways_in;
