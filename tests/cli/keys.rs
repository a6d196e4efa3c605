//! Keys of records: replaced and revoked, also when the command is killed between any two of its writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::domain::artifact::Digest;
use floe::domain::record::{Envelope, KeyRing, KeyState, SigningKey};
use floe::effects::keys::{self, Done, Keys, NoKey, PUBLIC_KEYS, secret_name};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::api_server::{Ran, run};

const OPERATOR: &str = "floe-system";
const SPACE: &str = "space";

/// Secrets and ConfigMaps, and a power cut.
#[derive(Default)]
struct Cluster {
    /// By path.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Writes that are still taken; afterwards nothing is, nor answered.
    writes_left: Option<usize>,
    /// The write that is one too many is taken, and only its answer is lost.
    loses_the_answer: bool,
    writes: usize,
}

struct World {
    cluster: Arc<Mutex<Cluster>>,
    client: Client,
    home: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let cluster = Arc::new(Mutex::new(Cluster::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&cluster));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::try_from(Config::new(server.parse().unwrap())).unwrap();
        let home = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": SPACE}}],
        });
        std::fs::write(home.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        let world = Self {
            cluster,
            client,
            home,
        };
        // As every namespace gets its first key.
        world.signing().await.unwrap();
        world
    }

    fn cluster(&self) -> std::sync::MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap()
    }

    /// The key with which an operator signs that has read nothing yet.
    async fn signing(&self) -> Result<Arc<SigningKey>, NoKey> {
        Keys::new(OPERATOR).signing(&self.client, SPACE).await
    }

    async fn ring(&self) -> KeyRing {
        let keys = Keys::new(OPERATOR);
        keys.public(&self.client, SPACE).await.unwrap()
    }

    async fn active(&self) -> Digest {
        self.ring().await.active().unwrap().id()
    }

    /// A record that an operator signs now.
    async fn record(&self) -> Envelope {
        Envelope::seal(b"{}".to_vec(), &self.signing().await.unwrap())
    }

    /// Nothing is lost: a record that is signed now counts.
    async fn signs_what_counts(&self, what: &str) {
        let record = self.record().await;
        assert!(self.ring().await.signer_of(&record).is_some(), "{what}");
    }

    /// Keys in the Secret.
    fn private(&self) -> Vec<String> {
        let path = secret_path();
        let cluster = self.cluster();
        let data = cluster.objects[&path]["data"].as_object().unwrap();
        data.keys().cloned().collect()
    }

    async fn rotate(&self) -> Result<keys::Changed, NoKey> {
        keys::rotate(&self.client, OPERATOR, SPACE).await
    }

    async fn revoke(&self, id: &Digest) -> Result<keys::Changed, NoKey> {
        keys::revoke(&self.client, OPERATOR, SPACE, id, "stolen").await
    }

    async fn audit_key(&self, arguments: &[&str]) -> Ran {
        let all = [&["platform", "audit", "key"], arguments].concat();
        run(self.home.path(), &all).await
    }
}

fn secret_path() -> String {
    format!(
        "/api/v1/namespaces/{OPERATOR}/secrets/{}",
        secret_name(SPACE)
    )
}

async fn answer(
    State(cluster): State<Arc<Mutex<Cluster>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let mut cluster = cluster.lock().unwrap();
    let path = uri.path().to_owned();
    if method == Method::GET {
        return match cluster.objects.get(&path) {
            Some(object) => reply(StatusCode::OK, object),
            None => refusal(StatusCode::NOT_FOUND, "NotFound"),
        };
    }
    cluster.writes += 1;
    let lost = cluster.writes_left == Some(0);
    if lost && !cluster.loses_the_answer {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    }
    let mut object: Value = serde_json::from_slice(&body).unwrap();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let path = if method == Method::POST {
        format!("{path}/{name}")
    } else {
        path
    };
    let known = cluster.objects.get(&path);
    let fits = known.map(|known| known["metadata"]["resourceVersion"].clone())
        == (method == Method::PUT).then(|| object["metadata"]["resourceVersion"].clone());
    if !fits {
        return refusal(StatusCode::CONFLICT, "AlreadyExists");
    }
    cluster.version += 1;
    object["metadata"]["resourceVersion"] = json!(cluster.version.to_string());
    cluster.objects.insert(path, object.clone());
    if lost {
        cluster.loses_the_answer = false;
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    }
    if let Some(left) = &mut cluster.writes_left {
        *left -= 1;
    }
    reply(StatusCode::OK, &object)
}

fn reply(code: StatusCode, value: &Value) -> Response {
    (
        code,
        [("content-type", "application/json")],
        value.to_string(),
    )
        .into_response()
}

fn refusal(code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": reason, "code": code.as_u16(),
    });
    reply(code, &status)
}

/// What is cut short in the tests below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Rotate,
    RevokeActive,
    Renew,
}

async fn make(world: &World, change: Change, id: &Digest) -> Result<KeyRing, NoKey> {
    match change {
        Change::Rotate => world.rotate().await.map(|changed| changed.ring),
        Change::RevokeActive => world.revoke(id).await.map(|changed| changed.ring),
        Change::Renew => keys::renew(&world.client, OPERATOR, SPACE).await,
    }
}

#[tokio::test]
async fn a_change_that_is_cut_short_anywhere_leaves_keys_that_sign_and_is_finished_later() {
    for change in [Change::Rotate, Change::RevokeActive, Change::Renew] {
        for loses_the_answer in [false, true] {
            let mut cuts = 0;
            loop {
                let world = World::start().await;
                let (before, early) = (world.active().await, world.record().await);
                if change == Change::Renew {
                    world.cluster().objects.remove(&secret_path());
                }
                {
                    let mut cluster = world.cluster();
                    cluster.writes_left = Some(cuts);
                    cluster.loses_the_answer = loses_the_answer;
                }
                let cut = make(&world, change, &before).await;
                world.cluster().writes_left = None;
                let what =
                    format!("{change:?} cut at write {cuts}, lost answer: {loses_the_answer}");
                if cut.is_ok() {
                    assert!(cuts >= 2, "{what}");
                    break;
                }
                // An operator that starts now. Where nothing was written the lost key is still lost.
                let lost = change == Change::Renew && cuts == 0 && !loses_the_answer;
                if lost {
                    assert!(matches!(world.signing().await, Err(NoKey::Missing(_))));
                } else {
                    world.signs_what_counts(&what).await;
                }
                let revoked = world.ring().await.has_revoked();
                assert_eq!(
                    world.ring().await.signer_of(&early).is_none(),
                    revoked,
                    "{what}"
                );
                // Somebody gives the command again.
                let again = make(&world, change, &before).await;
                if change == Change::Renew && !lost {
                    // The operator has published it by now.
                    assert!(matches!(again, Err(NoKey::Missing(_))), "{what}");
                } else {
                    again.unwrap_or_else(|why| panic!("{what}: {why}"));
                }
                world.signs_what_counts(&what).await;
                let ring = world.ring().await;
                assert_ne!(ring.active().unwrap().id(), before, "{what}");
                let former = ring.get(&before).unwrap().state;
                let expected = match change {
                    Change::RevokeActive => KeyState::Revoked,
                    Change::Rotate | Change::Renew => KeyState::Retired,
                };
                // Whoever lost only the last answer has asked for a second one.
                let twice = change == Change::Rotate && cuts == 2 && loses_the_answer;
                let keys = 2 + usize::from(twice);
                assert_eq!((former, ring.keys().len()), (expected, keys), "{what}");
                assert_eq!(world.private(), ["record.key"], "{what}");
                cuts += 1;
            }
        }
    }
}

#[tokio::test]
async fn records_from_before_and_after_a_rotation_count_and_nothing_before_a_revocation_does() {
    let world = World::start().await;
    let first = world.active().await;
    let early = world.record().await;
    let changed = world.rotate().await.unwrap();
    assert_eq!(changed.done, Done::All);
    let late = world.record().await;
    let ring = world.ring().await;
    assert_eq!(ring, changed.ring);
    assert_eq!(ring.signer_of(&early).unwrap().id(), first);
    assert_eq!(ring.signer_of(&late), ring.active());
    assert_eq!(ring.keys()[0].since, ring.keys()[1].until);

    let writes = world.cluster().writes;
    world.revoke(&first).await.unwrap();
    assert_eq!(
        world.cluster().writes,
        writes + 1,
        "the Secret is as it was"
    );
    let ring = world.ring().await;
    assert_eq!(ring.signer_of(&early), None);
    assert_eq!(ring.signer_of(&late), ring.active());
    let again = world.revoke(&first).await.unwrap();
    assert_eq!((again.done, again.ring), (Done::Nothing, ring));
    let stranger = world.revoke(&Digest::of(b"stranger")).await.unwrap_err();
    assert!(stranger.to_string().contains("has no key"), "{stranger}");
}

#[tokio::test]
async fn the_form_from_before_there_were_statements_is_read_and_goes_on() {
    let world = World::start().await;
    // A key was lost and renewed by a former version: two keys, and nothing said about them.
    let former = SigningKey::generate();
    {
        let mut cluster = world.cluster();
        let path = format!("/api/v1/namespaces/{OPERATOR}/configmaps/{PUBLIC_KEYS}");
        let data = &mut cluster.objects.get_mut(&path).unwrap()["data"];
        let pem = data[SPACE].as_str().unwrap().to_owned() + &former.public().to_pem();
        *data = json!({ SPACE: pem, "other": former.public().to_pem() });
    }
    let ring = world.ring().await;
    assert_eq!(ring.keys().len(), 2);
    let early = Envelope::seal(b"{}".to_vec(), &former);
    assert_eq!(ring.signer_of(&early), Some(&former.public()));
    world.rotate().await.unwrap();
    world.signs_what_counts("after the rotation").await;
    let ring = world.ring().await;
    assert_eq!(ring.signer_of(&early), Some(&former.public()));
    assert_eq!(ring.keys().len(), 3);
    let others = Keys::new(OPERATOR).public(&world.client, "other").await;
    assert_eq!(others.unwrap().active(), Some(&former.public()));
}

#[tokio::test]
async fn a_secret_from_an_old_backup_signs_nothing_and_says_what_to_do() {
    let world = World::start().await;
    let backup = world.cluster().objects[&secret_path()]["data"].clone();
    world.rotate().await.unwrap();
    world.cluster().objects.get_mut(&secret_path()).unwrap()["data"] = backup;
    let Err(refused) = world.signing().await else {
        panic!("a key that was replaced signs");
    };
    let refused = refused.to_string();
    assert!(refused.contains("a key that was replaced"), "{refused}");
    assert!(world.rotate().await.is_err());
    let made = keys::renew(&world.client, OPERATOR, SPACE).await.unwrap();
    assert_eq!(made.keys().len(), 3);
    world.signs_what_counts("after the new key").await;
}

#[tokio::test]
async fn public_keys_that_somebody_has_spoilt_count_for_nothing() {
    let world = World::start().await;
    world.rotate().await.unwrap();
    let path = format!("/api/v1/namespaces/{OPERATOR}/configmaps/{PUBLIC_KEYS}");
    let name = format!("{SPACE}.statements");
    let good = world.cluster().objects[&path]["data"][&name].clone();
    let bundle: Value = serde_json::from_str(good.as_str().unwrap().trim()).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = String::from_utf8(STANDARD.decode(payload).unwrap()).unwrap();
    // Another time, under the same signature.
    let forged = payload.replace("rotatedAt\":\"20", "rotatedAt\":\"19");
    assert_ne!(forged, payload);
    let mut bundle = bundle;
    bundle["dsseEnvelope"]["payload"] = json!(STANDARD.encode(forged));
    world.cluster().objects.get_mut(&path).unwrap()["data"][&name] = json!(bundle.to_string());
    let refused = Keys::new(OPERATOR)
        .public(&world.client, SPACE)
        .await
        .unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("statement 1"), "{refused}");
    assert!(world.signing().await.is_err());
}

#[tokio::test]
async fn audit_key_rotates_revokes_and_shows_what_counts() {
    let world = World::start().await;
    let first = world.active().await;
    let ran = world.audit_key(&["--rotate"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let second = world.active().await;
    assert_ne!(first, second);
    for (id, state) in [(&second, "Active"), (&first, "Retired")] {
        let row = ran.out.lines().find(|line| line.contains(id.as_str()));
        assert!(row.unwrap().contains(state), "{ran:?}");
    }
    let pem = world.audit_key(&["--pem"]).await.out;
    assert_eq!(pem.matches("BEGIN PUBLIC KEY").count(), 2);
    let only = world
        .audit_key(&["--pem", "--id", &first.hex()[..8]])
        .await
        .out;
    assert!(pem.ends_with(&only) && only.matches("BEGIN").count() == 1);

    for (wrong, words) in [
        (&["--revoke", first.as_str()][..], "--reason"),
        (&["--revoke", "12", "--reason", "x"], "too short"),
        (
            &["--revoke", "sha256:000000000", "--reason", "x"],
            "begins with",
        ),
        (&["--revoke", first.as_str(), "--reason", " "], "a sentence"),
        (&["--rotate", "--new"], "cannot be used with"),
        (&["--rotate", "--pem"], "cannot be used with"),
    ] {
        let ran = world.audit_key(wrong).await;
        assert!(
            ran.code == 2 && ran.err.contains(words),
            "{wrong:?}: {ran:?}"
        );
    }
    let ran = world
        .audit_key(&[
            "--revoke",
            &second.hex()[..10],
            "--reason",
            "stolen",
            "-o",
            "json",
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    let states: Vec<_> = shown["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["Active", "Revoked", "Retired"]);
    assert_eq!(shown["keys"][1]["reason"], "stolen");
    for bundle in [
        &shown["keys"][0]["rotation"],
        &shown["keys"][1]["revocation"],
    ] {
        assert!(Envelope::open(bundle.to_string().as_bytes()).is_ok());
    }
    let pem = world.audit_key(&["--pem"]).await.out;
    assert_eq!(pem.matches("BEGIN PUBLIC KEY").count(), 2);
    let ran = world.audit_key(&["--pem", "--id", second.as_str()]).await;
    assert!(ran.code != 0 && ran.err.contains("revoked"), "{ran:?}");
    let private = format!("{:?}", world.cluster().objects[&secret_path()]["data"]);
    let private = private.split('"').filter(|text| text.len() > 60);
    for text in private {
        assert!(!ran.out.contains(text) && !shown.to_string().contains(text));
    }
}
