//! Encrypted connections: a certificate of one's own, or one made here.
//!
//! Browsers let a page use the microphone only on encrypted connections, or on the
//! machine itself. A certificate made here lets a phone in the same network record;
//! its browser asks whether to trust it. It is kept in `HOME/tls`, so that it asks
//! once only, and made anew when the machine got other addresses or it grows old.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto};
use tokio_rustls::TlsAcceptor;

use crate::error::WebError;

/// How long a certificate made here is valid. Some phones refuse longer ones.
const VALID: Duration = Duration::from_secs(397 * 24 * 3600);

/// The age at which it is made anew.
const OLD: Duration = Duration::from_secs(300 * 24 * 3600);

/// How connections are encrypted.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// What a browser shows of the certificate, for comparison.
    fingerprint: String,
}

impl Tls {
    /// With a certificate and its key, both PEM; the file of the certificate also
    /// holds those that it was signed with.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the two do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, WebError> {
        let unusable = |path: &Path, reason: String| WebError::Certificate {
            path: path.to_owned(),
            reason,
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(|found| found.collect::<Result<Vec<_>, _>>())
            .map_err(|error| unusable(certificate, error.to_string()))?;
        let first = chain
            .first()
            .ok_or_else(|| unusable(certificate, "there is no certificate in it".to_owned()))?;
        let fingerprint = fingerprint(first);
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
        let config =
            ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))
                .map_err(|error| unusable(key, error.to_string()))?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint,
        })
    }

    /// With a certificate of our own for these addresses, kept below `home`.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written.
    pub fn self_signed(home: &Path, addresses: &[IpAddr]) -> Result<Self, WebError> {
        let kept = Kept::below(home);
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        names.extend(addresses.iter().map(IpAddr::to_string));
        if !kept.still_serves(&names) {
            kept.make(names)?;
        }
        Self::from_files(&kept.certificate, &kept.key)
    }

    /// The SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Where our own certificate is kept.
struct Kept {
    folder: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// The names it is for, one a line.
    names: PathBuf,
}

impl Kept {
    fn below(home: &Path) -> Self {
        let folder = home.join("tls");
        Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            names: folder.join("names.txt"),
            folder,
        }
    }

    /// Whether it is there, for all these names, and not old.
    fn still_serves(&self, names: &[String]) -> bool {
        let known = fs::read_to_string(&self.names).unwrap_or_default();
        let is_known = |name: &String| known.lines().any(|line| line == name);
        let made = fs::metadata(&self.certificate).and_then(|file| file.modified());
        let age = made
            .ok()
            .and_then(|made| SystemTime::now().duration_since(made).ok());
        names.iter().all(is_known) && age.is_some_and(|age| age < OLD) && self.key.is_file()
    }

    fn make(&self, names: Vec<String>) -> Result<(), WebError> {
        let refused = |error: rcgen::Error| WebError::Certificate {
            path: self.certificate.clone(),
            reason: error.to_string(),
        };
        let mut params = CertificateParams::new(names.clone()).map_err(refused)?;
        let subject = &mut params.distinguished_name;
        subject.push(DnType::CommonName, "biophony on this machine");
        let now = SystemTime::now();
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        // Clocks differ; a phone's may be behind.
        params.not_before = epoch + now.saturating_sub(Duration::from_secs(24 * 3600));
        params.not_after = epoch + now + VALID;
        let key = KeyPair::generate().map_err(refused)?;
        let certificate = params.self_signed(&key).map_err(refused)?;
        fs::create_dir_all(&self.folder).map_err(self.unwritable())?;
        // The names last: without them the rest does not count.
        let _ = fs::remove_file(&self.names);
        self.write_secret(&key.serialize_pem())
            .map_err(self.unwritable())?;
        fs::write(&self.certificate, certificate.pem()).map_err(self.unwritable())?;
        fs::write(&self.names, names.join("\n")).map_err(self.unwritable())
    }

    /// Writes the key so that nobody else on this machine can read it.
    fn write_secret(&self, pem: &str) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(pem.as_bytes())?;
        file.persist(&self.key)?;
        Ok(())
    }

    fn unwritable(&self) -> impl FnOnce(std::io::Error) -> WebError {
        let path = self.folder.clone();
        move |error| WebError::Certificate {
            path,
            reason: error.to_string(),
        }
    }
}

/// The addresses by which others in the same network reach this machine, those of
/// version 4 first.
pub fn lan_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let is_reachable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        // A browser cannot be told which interface a link-local address is of.
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let mut addresses: Vec<IpAddr> = interfaces
        .into_iter()
        .map(|interface| interface.ip())
        .filter(is_reachable)
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// `AB:CD:…`.
fn fingerprint(certificate: &CertificateDer) -> String {
    let provider = crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = provider
        .tls13()
        .map(|suite| suite.common.hash_provider.hash(certificate));
    let bytes = hash.as_ref().map_or(&[][..], |hash| hash.as_ref());
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_until_an_address_is_new() {
        let home = tempfile::tempdir().expect("a folder");
        let [one, two]: [IpAddr; 2] = [[192, 168, 1, 7].into(), [10, 0, 0, 9].into()];
        let of = |addresses: &[IpAddr]| {
            let tls = Tls::self_signed(home.path(), addresses).expect("is made");
            tls.fingerprint().to_owned()
        };
        let first = of(&[one]);
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(of(&[one]), first);
        assert_eq!(of(&[]), first, "fewer addresses are no reason");
        let second = of(&[one, two]);
        assert_ne!(second, first);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a folder");
        Tls::self_signed(home.path(), &[]).expect("is made");
        let key = fs::metadata(home.path().join("tls/key.pem")).expect("is there");
        assert_eq!(key.permissions().mode() & 0o077, 0);
    }

    #[test]
    fn files_that_are_no_certificate_are_named() {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join("cert.pem");
        fs::write(&file, "nothing").expect("writes");
        for (certificate, key) in [(&file, &file), (&home.path().join("none"), &file)] {
            let error = Tls::from_files(certificate, key).err().expect("is refused");
            let name = certificate.display().to_string();
            assert!(error.to_string().contains(&name), "{error}");
        }
    }
}
