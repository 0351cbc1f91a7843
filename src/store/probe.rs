//! What can be learnt of a store's place before its objects are asked: the way to its server, or the file system of its folder.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::base::{Error, Kind, Result};

/// How long one address of a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses that are tried: the first may be of a network that this machine isn't in.
const MOST_ADDRESSES: usize = 4;

/// The way to a bucket, as the settings say; nobody was asked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approach {
    pub server: Server,
    /// As whom requests are made, without any secret: "access key AKIA… of the environment".
    pub who: String,
    /// The proxy that resolves and connects in our place.
    pub proxy: Option<String>,
}

/// A server's name and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
}

impl Server {
    /// The server of an `http://` or `https://` URL.
    pub fn of_url(url: &str) -> Result<Server> {
        let bad = || Error::usage("the endpoint is no URL of the form https://HOST[:PORT]");
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(bad()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // An IPv6 address has colons of its own, in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, usual),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.is_empty() {
            true => Err(bad()),
            false => Ok(Server { host: host.to_owned(), port }),
        }
    }

    /// The addresses behind its name.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let unknown = || Error::new(Kind::Unreachable, format!("the name {} doesn't resolve", self.host));
        let found: Vec<SocketAddr> =
            (self.host.as_str(), self.port).to_socket_addrs().map_err(|fault| unknown().because(fault))?.collect();
        if found.is_empty() { Err(unknown()) } else { Ok(found) }
    }

    /// Connects to the first address that answers; gives it, and how long that took.
    pub fn connect(&self, addresses: &[SocketAddr]) -> Result<(SocketAddr, Duration)> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses.iter().take(MOST_ADDRESSES) {
            let began = Instant::now();
            match TcpStream::connect_timeout(address, PATIENCE) {
                Ok(_) => return Ok((*address, began.elapsed())),
                Err(fault) => last = fault,
            }
        }
        let message = format!("no connection to {} port {}", self.host, self.port);
        Err(Error::new(Kind::Unreachable, message).because(last))
    }
}

/// The file system that a folder lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// `None` where this system doesn't tell, or the kind is unknown.
    pub name: Option<&'static str>,
    /// Whether other machines may write to it.
    pub is_shared: bool,
    /// Bytes that this user may still write.
    pub free_bytes: u64,
}

/// Names of file systems by the number that Linux gives them, and whether machines share them.
const FILE_SYSTEMS: [(u32, &str, bool); 19] = [
    (0xef53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0xf2f5_2010, "f2fs", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xca45_1a4e, "bcachefs", false),
    (0x0102_1994, "tmpfs", false),
    (0x794c_7630, "overlayfs", false),
    (0x6969, "NFS", true),
    (0xff53_4d42, "SMB", true),
    (0xfe53_4d42, "SMB", true),
    (0x0bd0_0bd0, "Lustre", true),
    (0x00c3_6400, "CephFS", true),
    (0x4750_4653, "GPFS", true),
    (0x1983_0326, "BeeGFS", true),
    (0x0102_1997, "9p", true),
    (0x5346_414f, "AFS", true),
    (0x7461_636f, "OCFS2", true),
    (0x6573_5546, "FUSE", true),
];

impl FileSystem {
    /// The one that `folder` lies on.
    pub fn of(folder: &Path) -> Result<FileSystem> {
        let fault = |fault: rustix::io::Errno| Error::io("ask for the file system of", folder, fault.into());
        let space = rustix::fs::statvfs(folder).map_err(fault)?;
        let (name, is_shared) =
            kind(folder).map_err(fault)?.map_or((None, false), |(name, shared)| (Some(name), shared));
        Ok(FileSystem { name, is_shared, free_bytes: space.f_bavail.saturating_mul(space.f_frsize) })
    }
}

#[cfg(target_os = "linux")]
fn kind(folder: &Path) -> Result<Option<(&'static str, bool)>, rustix::io::Errno> {
    // The type of the field differs between architectures; the numbers have 32 bits.
    let number = rustix::fs::statfs(folder)?.f_type as u32;
    let known = FILE_SYSTEMS.iter().find(|(known, ..)| *known == number);
    Ok(known.map(|(_, name, is_shared)| (*name, *is_shared)))
}

#[cfg(not(target_os = "linux"))]
fn kind(_: &Path) -> Result<Option<(&'static str, bool)>, rustix::io::Errno> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_urls() {
        let cases = [
            ("https://s3.example", "s3.example", 443),
            ("http://127.0.0.1:9000/path", "127.0.0.1", 9000),
            ("https://[::1]:7480", "::1", 7480),
            ("http://[::1]", "::1", 80),
            ("https://key:secret@host:1/", "host", 1),
        ];
        for (url, host, port) in cases {
            assert_eq!(Server::of_url(url).unwrap(), Server { host: host.to_owned(), port }, "{url}");
        }
        for bad in ["", "host:80", "ftp://host", "http://", "http://:80", "http://host:port"] {
            assert_eq!(Server::of_url(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn a_listener_is_reached_and_a_closed_port_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let addresses = server.addresses().unwrap();
        assert_eq!(server.connect(&addresses).unwrap().0, listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(server.connect(&addresses).unwrap_err().kind(), Kind::Unreachable);
    }

    #[test]
    fn a_folders_file_system_is_known() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FileSystem::of(folder.path()).unwrap().free_bytes > 0);
        assert!(FileSystem::of(&folder.path().join("no")).is_err());
    }
}
