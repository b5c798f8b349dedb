//! A way to a server that breaks after some bytes of answers: whatever was asked
//! then is done, but who asked does not hear of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The address of a new way to `server` that lets `n_bytes` of answers through.
pub(crate) fn breaking_after(n_bytes: usize, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
    let address = listener.local_addr().expect("an address");
    let left = Arc::new(AtomicUsize::new(n_bytes));
    // It ends with the test's process.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if left.load(Ordering::SeqCst) == 0 {
                continue; // Dropping it hangs up.
            }
            let to_server = TcpStream::connect(server).expect("the server is there");
            pass_on(client, to_server, &left);
        }
    });
    address
}

fn pass_on(client: TcpStream, server: TcpStream, left: &Arc<AtomicUsize>) {
    let (mut asks, mut asked) = (
        client.try_clone().expect("a handle"),
        server.try_clone().expect("a handle"),
    );
    std::thread::spawn(move || std::io::copy(&mut asks, &mut asked));
    let left = Arc::clone(left);
    std::thread::spawn(move || {
        let (mut client, mut server) = (client, server);
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = server.read(&mut piece) {
            let allowed = left.load(Ordering::SeqCst).min(n);
            left.fetch_sub(allowed, Ordering::SeqCst);
            let is_sent = client.write_all(&piece[..allowed]).is_ok();
            if allowed < n || !is_sent {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}
