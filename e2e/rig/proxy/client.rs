//! Which operator process is at the other end of a connection.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;

/// How often a connection is looked for: for two seconds, since a machine can be slow.
const LOOKS: usize = 400;

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

    /// The process at the other end of a connection on loopback, between `peer` and `own`; none when it is gone.
    pub async fn find(&self, peer: SocketAddr, own: SocketAddr) -> Option<Arc<dyn Killable>> {
        for _ in 0..LOOKS {
            if let Some(found) = self.look_for(peer, own) {
                return Some(found);
            }
            // The kernel's table is not read in one piece: a connection can be missed while others come and go.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    fn look_for(&self, peer: SocketAddr, own: SocketAddr) -> Option<Arc<dyn Killable>> {
        let clients = self.0.lock().expect("no holder panics").clone();
        let socket = format!("socket:[{}]", inode_of(peer, own)?);
        clients
            .into_iter()
            .find(|client| has_open(client.pid(), &socket))
    }
}

/// The inode of the socket with these two addresses, from `/proc/net/tcp`. Both: a port is used again for
/// another server while its earlier connection still waits in the table, without an inode.
fn inode_of(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let (local, remote) = (written(local)?, written(remote)?);
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, from, to, _, _, _, _, _, _, inode, ..] = columns[..] else {
            return None;
        };
        (from == local && to == remote && inode != "0").then(|| inode.to_owned())
    })
}

/// An address as the kernel's table has it.
fn written(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_le_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}

fn has_open(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy() == socket)
    })
}
