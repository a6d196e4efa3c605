//! What the record, the summary beside it and the audit log cost: bytes, and time in the middle of the writes.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::Rig;
use crate::proxy::{Entry, Server};
use crate::registries::Kind;
use crate::world::{SOON, World, gates, message, reason};

/// Promotions that are measured.
const ROUNDS: usize = 9;
/// Most bytes that a promotion may add to the registry for its record and its summary.
const BYTES_MAX: usize = 8 << 10;
/// Bytes of a line of the audit log, about.
const LINE: usize = 1 << 10;

pub async fn a_promotion_leaves_a_small_trail(rig: Rig) {
    for kind in [Kind::Referrers, Kind::Distribution] {
        let world = World::new(&rig, kind).await;
        world.policy("dev", json!({ "gates": gates(3) })).await;
        let log = world.folder.join("audit");
        let folder = format!("--audit-log-dir={}", log.display());
        let operator = world.start_operator_with("one", false, &[&folder]);
        operator.until_ready(SOON).await;
        world.policy_ready("dev").await;
        let (mut ratios, mut largest) = (Vec::new(), 0);
        // The first one makes and reads the keys.
        for round in 0..=ROUNDS {
            let version = format!("v1.{round}.0");
            let digest = world.repository.publish(&version, &version).await;
            let (mark, name) = (world.proxy.trace.mark(), format!("round-{round}"));
            world.promote(&name, &version, "dev").await;
            let ended = world.ended(&name).await;
            assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
            let referrers = world.repository.referrers(&digest).await;
            assert_eq!(referrers.len(), 2);
            let size = |referrer: &crate::oci::Referrer| {
                referrer.payload.len() + referrer.manifest.to_string().len()
            };
            largest = largest.max(referrers.iter().map(size).sum());
            let (phase, record) = times(&world.proxy.trace.since(mark));
            let trail = record + line_on_the_disk(&world);
            let without = phase.as_secs_f64() - trail.as_secs_f64();
            ratios.push(phase.as_secs_f64() / without);
        }
        assert!(
            largest <= BYTES_MAX,
            "{largest} bytes of record and summary"
        );
        ratios.remove(0);
        ratios.sort_unstable_by(f64::total_cmp);
        rig.report(format!(
            "trail, {kind:?}: {largest} bytes at most; from claim to Succeeded with it / without it {:.2} (median of {ROUNDS}, {:.2} to {:.2})",
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        ));
    }
}

/// From the claim to the status that says `Succeeded`, and how much of that goes to record and summary.
fn times(entries: &[Entry]) -> (Duration, Duration) {
    let at = |server: Server, part: &str| {
        let wanted = |entry: &Entry| entry.seen.server == server && entry.seen.key.contains(part);
        let found = entries.iter().position(wanted);
        found.expect("the promotion went all the way")
    };
    let claim = at(Server::Api, "GET environmentpolicies");
    let record = at(Server::Registry, "POST blobs/upload");
    let latest = at(Server::Registry, "manifests/latest-dev");
    let succeeded = at(Server::Api, "Succeeded");
    let (claim, record, latest, after) = (
        entries[claim].at,
        entries[record].at,
        entries[latest].at,
        entries[succeeded + 1].at,
    );
    (after - claim, latest - record)
}

/// How long a line takes until it is on the disk: in a file beside the log.
fn line_on_the_disk(world: &World) -> Duration {
    let mut file = File::create(world.folder.join("line")).expect("make a file");
    let began = Instant::now();
    file.write_all(&[b'x'; LINE]).expect("write a line");
    file.sync_data().expect("write it to the disk");
    began.elapsed()
}
