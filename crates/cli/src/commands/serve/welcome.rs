//! What is printed when the server is there: addresses, and a picture for phones.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};

use biophony_web::lan_addresses;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// The addresses under which the server is reached, with a QR code of the one that a
/// phone in the same network can open, if someone looks at a terminal.
pub(super) fn welcome(address: SocketAddr, fingerprint: Option<&str>, is_open: bool) -> String {
    let scheme = if fingerprint.is_some() {
        "https"
    } else {
        "http"
    };
    let url = |ip: IpAddr| format!("{scheme}://{}", SocketAddr::new(ip, address.port()));
    if !address.ip().is_unspecified() {
        return finish(url(address.ip()), address.ip(), fingerprint, is_open);
    }
    // A socket of version 4 does not hear version 6.
    let mut reachable = lan_addresses();
    reachable.retain(|ip| address.is_ipv6() || ip.is_ipv4());
    let local = if address.is_ipv6() {
        "::1"
    } else {
        "127.0.0.1"
    };
    let local = local.parse().unwrap_or(address.ip());
    let mut lines = vec![url(local)];
    lines.extend(reachable.iter().map(|&ip| url(ip)));
    let first = reachable.first().copied().unwrap_or(local);
    finish(lines.join("\n             "), first, fingerprint, is_open)
        + &match reachable.first() {
            Some(&ip) if std::io::stdout().is_terminal() => picture(&url(ip)),
            _ => String::new(),
        }
}

fn finish(urls: String, ip: IpAddr, fingerprint: Option<&str>, is_open: bool) -> String {
    let mut text = format!("listening on {urls}\n");
    if let Some(fingerprint) = fingerprint {
        text.push_str(&format!(
            "certificate  SHA-256 {fingerprint}\n             a browser that does not know it asks \
             whether to go on\n"
        ));
    }
    if !ip.is_loopback() {
        if is_open {
            text.push_str(
                "whoever reaches this address may use and change everything; --auth-token-file \
                 lets only some\n",
            );
        }
        if fingerprint.is_none() {
            text.push_str(
                "browsers on other machines may not use their microphones here; \
                 --tls self-signed lets them\n",
            );
        }
    }
    text
}

/// The address as a QR code, for terminals with light text on dark ground.
fn picture(url: &str) -> String {
    let Ok(code) = QrCode::new(url) else {
        return String::new();
    };
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    format!("\n{drawn}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_to_the_network_is_told_what_that_means() {
        let local = welcome(([127, 0, 0, 1], 80).into(), None, true);
        assert_eq!(local, "listening on http://127.0.0.1:80\n");
        let open = welcome(([192, 168, 1, 7], 80).into(), None, true);
        assert!(
            open.contains("--auth-token-file") && open.contains("--tls"),
            "{open}"
        );
        let closed = welcome(([192, 168, 1, 7], 443).into(), Some("AB:CD"), false);
        assert!(
            closed.starts_with("listening on https://192.168.1.7:443\n"),
            "{closed}"
        );
        assert!(
            closed.contains("AB:CD") && !closed.contains("--"),
            "{closed}"
        );
    }

    #[test]
    fn a_phone_finds_a_picture_of_the_address() {
        let drawn = picture("https://192.168.1.7:8080");
        assert!(drawn.lines().count() > 12, "{drawn}");
        assert!(drawn.contains('▀') || drawn.contains('▄'), "{drawn}");
        // The quiet zone is light, which is the color of text.
        assert!(drawn.trim_start().starts_with("████████"), "{drawn}");
    }
}
