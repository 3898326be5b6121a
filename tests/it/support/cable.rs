//! A cable to a memcached that breaks when it is told to: after so many bytes of
//! what the program sends, in the middle of a command if it falls so.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is done at the moment the cable breaks.
type Action = Box<dyn FnOnce() + Send>;

struct Shared {
    /// Bytes that still get through.
    left: AtomicI64,
    broken: AtomicBool,
    at_break: Mutex<Option<Action>>,
}

/// The program's end is a port of 127.0.0.1.
pub struct Cable {
    port: u16,
    shared: Arc<Shared>,
}

impl Cable {
    /// A cable to `server` (HOST:PORT), not broken yet.
    pub fn to(server: &str) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            left: AtomicI64::new(i64::MAX),
            broken: AtomicBool::new(false),
            at_break: Mutex::new(None),
        });
        let (server, of_thread) = (server.to_owned(), Arc::clone(&shared));
        // Ends with the test's process.
        thread::spawn(move || {
            for program in listener.incoming().map_while(Result::ok) {
                // A broken cable drops whoever calls.
                if !of_thread.broken.load(Ordering::SeqCst)
                    && let Ok(memcached) = TcpStream::connect(&server)
                {
                    connect(program, memcached, &of_thread);
                }
            }
        });
        Cable { port, shared }
    }

    /// As the configuration's `servers` names the program's end.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Breaks after so many bytes from now on, and does `action` then.
    pub fn break_after(&self, bytes: i64, action: impl FnOnce() + Send + 'static) {
        *self.shared.at_break.lock().unwrap() = Some(Box::new(action));
        self.shared.left.store(bytes, Ordering::SeqCst);
    }

    pub fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::SeqCst)
    }

    /// Whole again.
    pub fn mend(&self) {
        self.shared.left.store(i64::MAX, Ordering::SeqCst);
        self.shared.broken.store(false, Ordering::SeqCst);
    }
}

fn connect(program: TcpStream, memcached: TcpStream, shared: &Arc<Shared>) {
    let _ = (program.set_nodelay(true), memcached.set_nodelay(true));
    let (from_program, to_memcached) = (program.try_clone().unwrap(), memcached.try_clone().unwrap());
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        forward(from_program, to_memcached, |bytes| {
            let before = shared.left.fetch_sub(bytes as i64, Ordering::SeqCst);
            let through = before.clamp(0, bytes as i64) as usize;
            if through < bytes {
                shared.broken.store(true, Ordering::SeqCst);
                if let Some(action) = shared.at_break.lock().unwrap().take() {
                    action();
                }
            }
            through
        });
    });
    thread::spawn(move || forward(memcached, program, |bytes| bytes));
}

/// Passes bytes on, as many of each piece as `through` lets; ends both ends when it lets fewer.
fn forward(mut from: TcpStream, mut to: TcpStream, through: impl Fn(usize) -> usize) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(n) = from.read(&mut piece) {
        let passed = through(n);
        if n == 0 || to.write_all(&piece[..passed]).is_err() || passed < n {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
