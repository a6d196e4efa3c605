use std::time::Instant;

use floe::effects::audit::Depth;

use super::{Rig, number, problems};

#[tokio::test]
async fn a_thousand_records_are_verified_with_two_requests_each() {
    let started = Instant::now();
    let rig = Rig::start(true, 1000).await;
    eprintln!("1,000 promotions recorded in {:?}", started.elapsed());
    for (depth, most) in [(Depth::Chain, 2000), (Depth::Everything, 6002)] {
        let started = Instant::now();
        let verdict = rig.verify(Some(&rig.whole()), depth).await;
        // The double lists two tags a page.
        let requests = rig.double.take_requests();
        let requests = requests
            .iter()
            .filter(|request| !request.contains("/tags/"))
            .count();
        eprintln!(
            "{depth:?}: 1,000 records in {:?}, {requests} requests",
            started.elapsed()
        );
        assert_eq!((verdict.good, problems(&verdict)), (1000, vec![]));
        assert_eq!(verdict.remarks, []);
        assert!(requests <= most, "{requests}");
    }
    // Samples of what the short chains and the pure tests go through one by one.
    for at in [1000, 999, 750, 500, 250, 2, 1] {
        rig.take_out(&rig.at(at).recorded.referrer);
        let verdict = rig.verify(Some(&rig.whole()), Depth::Chain).await;
        let worst = verdict.bad.last().unwrap();
        assert_eq!(worst.problem, floe::domain::audit::Problem::Missing);
        assert_eq!(
            (worst.sequence, verdict.good),
            (number(at), number(1000 - at))
        );
        rig.restore();
    }
    let verdict = rig.verify(Some(&rig.ledger(400)), Depth::Everything).await;
    assert_eq!(verdict.good, 1000);
    assert_eq!(verdict.bad.len(), 1, "{:?}", verdict.bad);
}

#[tokio::test]
async fn a_chain_is_whole_from_the_ledger_and_from_the_registry_alone() {
    for api in [true, false] {
        let rig = Rig::start(api, 6).await;
        for ledger in [Some(rig.whole()), None] {
            for depth in [Depth::Chain, Depth::Everything] {
                let verdict = rig.verify(ledger.as_ref(), depth).await;
                assert_eq!((verdict.good, problems(&verdict)), (6, vec![]));
                assert_eq!(verdict.remarks, []);
                let (newest, record, _) = verdict.head.unwrap();
                assert_eq!((newest, record), (6, rig.at(6).recorded.record.clone()));
            }
        }
    }
}

#[tokio::test]
async fn where_nothing_was_promoted_nothing_is_wrong() {
    let rig = Rig::start(true, 0).await;
    let verdict = rig.verify(None, Depth::Everything).await;
    assert_eq!((verdict.good, verdict.head, verdict.bad), (0, None, vec![]));
}
