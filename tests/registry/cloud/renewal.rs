//! Logins that run out: before their time, in the middle of something, and by a clock that is not ours.

use axum::http::{Method, StatusCode};
use floe::api::CloudProvider;
use floe::effects::registry::{ErrorKind, RawManifest};

use super::clouds::{aws_error, sts_error};
use super::{ALL, World};
use crate::double::{Lie, On, artifact, error};
use crate::tag;

fn expired() -> Lie {
    let words = "Your authorization token has expired. Reauthenticate and try again.";
    Lie::Instead(error(StatusCode::FORBIDDEN, "DENIED", words))
}

#[tokio::test]
async fn a_login_that_has_run_out_is_renewed_once_and_the_request_goes_on() {
    for provider in ALL {
        let world = World::start(provider, None).await;
        let client = world.client().await;
        world.read(&client).await.unwrap();
        world.clouds.take_log();
        world.expire();
        assert_eq!(world.read(&client).await, Ok(true), "{provider:?}");
        let asked = world.clouds.take_log();
        let tokens = asked
            .iter()
            .filter(|line| line.ends_with("/token") && line.contains("/api/"));
        assert_eq!(tokens.count(), 1, "{asked:?}");
    }
}

#[tokio::test]
async fn a_403_of_a_login_that_has_run_out_is_as_good_as_a_401() {
    let world = World::start(CloudProvider::Ecr, None).await;
    let client = world.client().await;
    world.read(&client).await.unwrap();
    world
        .registry
        .lie(On::next(Method::GET, "/manifests/"), expired());
    assert_eq!(world.read(&client).await, Ok(true));
}

#[tokio::test]
async fn a_login_may_run_out_between_the_blobs_of_a_copy_and_before_its_tag() {
    for run_out in 0..3 {
        let world = World::start(CloudProvider::Ecr, None).await;
        let client = world.client().await;
        world.read(&client).await.unwrap();
        let repository = world.registry.repository("team/other");
        let manifest: RawManifest = artifact("two");
        for (step, blob) in [b"{}".as_slice(), b"two"].into_iter().enumerate() {
            if step == run_out {
                world.expire();
            }
            client.push_blob(&repository, blob).await.unwrap();
        }
        if run_out == 2 {
            world.expire();
        }
        let tagged = client.tag(&repository, &tag("v2"), &manifest).await;
        tagged.unwrap();
        let tags = world.registry.tags();
        assert_eq!(tags["team/other:v2"], manifest.digest().to_string());
    }
}

#[tokio::test]
async fn an_account_that_may_not_is_denied_and_the_cloud_is_not_asked_again_and_again() {
    let world = World::start(CloudProvider::Ecr, None).await;
    let client = world.client().await;
    let words = "User is not authorized to perform: ecr:BatchGetImage";
    let denied = Lie::Instead(error(StatusCode::FORBIDDEN, "DENIED", words));
    world.registry.lie(
        On::next(Method::GET, "/manifests/").after(1).always(),
        denied,
    );
    for _ in 0..4 {
        let error = world.read(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("ecr:BatchGetImage"), "{error}");
    }
    let asked = world.clouds.take_log();
    let logins = asked.iter().filter(|line| *line == "POST /ecr/").count();
    assert_eq!(logins, 2, "the first, and one in its place: {asked:?}");
}

#[tokio::test]
async fn a_clock_that_differs_from_that_of_aws_is_set_by_the_answer() {
    let world = World::start(CloudProvider::Ecr, None).await;
    world.clouds.state().checks_time = true;
    assert_eq!(world.read(&world.client().await).await, Ok(true));
    let asked = world.clouds.take_log();
    let tried = asked.iter().filter(|line| *line == "POST /ecr/").count();
    assert_eq!(tried, 2, "{asked:?}");
}

#[tokio::test]
async fn a_token_that_the_cloud_finds_too_old_is_asked_for_anew_once() {
    let words = "Token expired: current date/time 2014879777 must be before the expiration date/time 2014879700";
    for times in [1, 2] {
        let world = World::start(CloudProvider::Ecr, None).await;
        for _ in 0..times {
            let answer = sts_error(400, "ExpiredTokenException", words);
            world.clouds.state().instead.push(("/sts", answer));
        }
        let read = world.read(&world.client().await).await;
        match times {
            1 => assert_eq!(read, Ok(true)),
            _ => {
                let error = read.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Denied);
                assert!(
                    error.to_string().contains("ExpiredTokenException"),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_cloud_that_fails_now_is_asked_later_and_what_is_kept_serves_until_then() {
    let world = World::start(CloudProvider::Ecr, None).await;
    let answer = aws_error(400, "ThrottlingException", "Rate exceeded");
    world.clouds.state().instead.push(("/ecr", answer));
    let client = world.client().await;
    let error = world.read(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(world.read(&client).await, Ok(true));
    let answer = (StatusCode::SERVICE_UNAVAILABLE, String::new());
    world.clouds.state().instead.push(("/sts", answer));
    assert_eq!(
        world.read(&client).await,
        Ok(true),
        "the kept login is good"
    );
}

#[tokio::test]
async fn many_who_need_a_login_at_once_ask_for_one() {
    let world = World::start(CloudProvider::Ecr, None).await;
    let access = world.access(Some("pusher")).await.unwrap();
    let clients: Vec<_> = (0..8)
        .map(|_| floe::effects::registry::Registry::new(&access).unwrap())
        .collect();
    let reads = clients.iter().map(|client| world.read(client));
    for read in futures::future::join_all(reads).await {
        assert_eq!(read, Ok(true));
    }
    let asked = world.clouds.take_log();
    assert_eq!(asked.iter().filter(|line| *line == "POST /sts/").count(), 1);
}

#[tokio::test]
async fn a_registry_that_echoes_the_login_does_not_get_it_into_our_messages() {
    let world = World::start(CloudProvider::Ecr, None).await;
    let client = world.client().await;
    world.read(&client).await.unwrap();
    let secrets = world.clouds.state().secrets.join(" ");
    let echo = Lie::Instead(error(StatusCode::BAD_REQUEST, "UNKNOWN", &secrets));
    world
        .registry
        .lie(On::next(Method::GET, "/manifests/"), echo);
    let error = world.read(&client).await.unwrap_err();
    let login = world.clouds.state().login.lock().unwrap().1.clone();
    assert!(!error.to_string().contains(&login), "{error}");
}
