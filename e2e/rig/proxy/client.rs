//! Which operator process is at the other end of a connection.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;

/// How often a connection is looked for.
const LOOKS: usize = 20;

/// A process that the proxy may kill.
pub trait Killable: Send + Sync {
    /// Its name in the trace.
    fn name(&self) -> &str;
    /// Its process id.
    fn pid(&self) -> u32;
    /// Kills it (SIGKILL) and waits until it is gone.
    fn kill(&self) -> BoxFuture<'_, ()>;
}

/// The operator processes of a world.
#[derive(Default)]
pub struct Clients(Mutex<Vec<Arc<dyn Killable>>>);

impl Clients {
    /// Adds one.
    pub fn add(&self, client: Arc<dyn Killable>) {
        self.0.lock().expect("no holder panics").push(client);
    }

    /// Takes one out, once its process is gone.
    pub fn remove(&self, pid: u32) {
        self.0
            .lock()
            .expect("no holder panics")
            .retain(|client| client.pid() != pid);
    }

    /// The process that owns this end of a connection on loopback; none when it is gone.
    pub async fn find(&self, peer: SocketAddr) -> Option<Arc<dyn Killable>> {
        for _ in 0..LOOKS {
            if let Some(found) = self.look_for(peer) {
                return Some(found);
            }
            // The kernel's table is not read in one piece: a connection can be missed while others come and go.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    fn look_for(&self, peer: SocketAddr) -> Option<Arc<dyn Killable>> {
        let clients = self.0.lock().expect("no holder panics").clone();
        let socket = format!("socket:[{}]", inode_of(peer)?);
        clients
            .into_iter()
            .find(|client| has_open(client.pid(), &socket))
    }
}

/// The inode of the socket with this local address, from `/proc/net/tcp`.
fn inode_of(local: SocketAddr) -> Option<String> {
    let SocketAddr::V4(local) = local else {
        return None;
    };
    let address = u32::from_le_bytes(local.ip().octets());
    let wanted = format!("{address:08X}:{:04X}", local.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (columns.get(1) == Some(&wanted.as_str()))
            .then(|| columns.get(9).map(|&inode| inode.to_owned()))?
    })
}

fn has_open(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy() == socket)
    })
}
