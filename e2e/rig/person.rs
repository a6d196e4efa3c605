//! Somebody at a command line.

use std::process::{Output, Stdio};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::process::Command;

use crate::control_plane::Identity;
use crate::proxy::Killable;
use crate::world::World;

/// `floe platform ...` in the world's namespace, as alice.
pub async fn platform(world: &World, arguments: &[&str]) -> Output {
    let control_plane = &world.rig.control_plane;
    let kubeconfig = world.folder.join("kubeconfig-alice");
    let content = control_plane.kubeconfig(&control_plane.url, Identity::Alice);
    std::fs::write(&kubeconfig, content.to_string()).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_floe"))
        .arg("platform")
        .args(arguments)
        .args(["-n", &world.namespace, "--kubeconfig"])
        .arg(kubeconfig)
        .env("HOME", &world.folder)
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // The proxy lets nobody through whom it does not know.
    let person = Person(child.id().unwrap());
    world.proxy.clients.add(Arc::new(person));
    child.wait_with_output().await.unwrap()
}

/// A command line that somebody has started. Nothing kills it.
struct Person(u32);

impl Killable for Person {
    fn name(&self) -> &'static str {
        "alice"
    }

    fn pid(&self) -> u32 {
        self.0
    }

    fn kill(&self) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }
}
