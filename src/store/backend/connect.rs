//! From a URL and what is known about reaching it to an `object_store`: S3, Google Cloud Storage, Azure Blob Storage.
//!
//! Each is told not to retry: [`super::cloud`] does, so that a try has fresh credentials and a fresh signature, is counted, and is
//! judged by what the server said.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpClient;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ObjectStore, RetryConfig, StaticCredentialProvider};
use reqwest::{Certificate, NoProxy, Proxy, Url};

use super::super::access::{Access, StoreSettings};
use super::super::address::refuse_secret;
use super::super::aws::{Source, Way};
use super::super::fault::Reached;
use super::super::probe::{Approach, Server};
use super::credentials::{Giver, Renewed, Token, credential};
use super::http::{NEAR_HOSTS, Wire, is_near};
use super::throttle::Limits;
use crate::base::{Error, Kind, Result};

/// Which protocol a URL asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cloud {
    S3,
    Google,
    Azure,
}

impl Cloud {
    pub(super) fn of(scheme: &str) -> Option<Cloud> {
        match scheme {
            "s3" => Some(Cloud::S3),
            "gs" => Some(Cloud::Google),
            "az" => Some(Cloud::Azure),
            _ => None,
        }
    }
}

/// All that is needed to make the client of one bucket.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) access: Access,
    pub(super) settings: StoreSettings,
    pub(super) bucket: String,
    kind: PlanKind,
    server: Url,
}

#[derive(Clone)]
enum PlanKind {
    S3(Box<Way>),
    Google,
    Azure,
}

impl Plan {
    /// Decides where and as whom; asks nobody.
    pub(super) fn new(cloud: Cloud, bucket: &str, access: &Access, settings: StoreSettings) -> Result<Plan> {
        let bucket_is_good = !bucket.is_empty()
            && bucket.len() <= 255
            && bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !bucket.starts_with(['.', '-']);
        if !bucket_is_good {
            return Err(Error::usage(format!("not the name of a bucket: {bucket:?}"))
                .hint("a bucket's name has letters, digits, dots and hyphens: s3://BUCKET/PREFIX"));
        }
        let (kind, server) = match cloud {
            Cloud::S3 => {
                let way = Way::find(access, &settings)?;
                let server = s3_server(&way, bucket, settings.path_style)?;
                if let Source::Container { url, .. } = &way.source {
                    check_container(url)?;
                }
                (PlanKind::S3(Box::new(way)), server)
            }
            Cloud::Google => {
                let usual = "https://storage.googleapis.com";
                (PlanKind::Google, endpoint(settings.endpoint.as_deref().unwrap_or(usual))?)
            }
            Cloud::Azure => {
                let account = access.variable("AZURE_STORAGE_ACCOUNT_NAME").ok_or_else(|| {
                    Error::usage("no storage account is known for az://")
                        .hint("set AZURE_STORAGE_ACCOUNT_NAME, and one of AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_KEY or a client's AZURE_… variables")
                })?;
                let usual = format!("https://{account}.blob.core.windows.net");
                let given = settings.endpoint.as_deref().or_else(|| access.variable("AZURE_STORAGE_ENDPOINT"));
                (PlanKind::Azure, endpoint(given.unwrap_or(&usual))?)
            }
        };
        if server.scheme() == "http" && settings.allow_http == Some(false) {
            return Err(Error::usage(format!("{server} is not encrypted, and `allow_http` of the store forbids that")));
        }
        // Without the connections, which are to hold what is made of this plan.
        let access = Access { stores: Vec::new(), connections: Default::default(), ..access.clone() };
        Ok(Plan { access, settings, bucket: bucket.to_owned(), kind, server })
    }

    /// Whether an open connection by `other` serves.
    pub(super) fn is_same(&self, other: &Plan) -> bool {
        std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind)
            && self.bucket == other.bucket
            && self.settings == other.settings
            && self.access.environment == other.access.environment
            && self.access.home == other.access.home
            && self.access.patience == other.access.patience
    }

    pub(super) fn is_azure(&self) -> bool {
        matches!(self.kind, PlanKind::Azure)
    }

    /// For messages about the store at `shown`.
    pub(super) fn reached(&self, shown: &str) -> Reached {
        let (who, sign_in) = match &self.kind {
            PlanKind::S3(way) => (way.who.clone(), way.sign_in.clone()),
            PlanKind::Google => {
                ("the Google credentials".to_owned(), "`gcloud auth application-default login`".to_owned())
            }
            PlanKind::Azure => ("the Azure credentials".to_owned(), "check the AZURE_… variables".to_owned()),
        };
        Reached {
            shown: shown.to_owned(),
            bucket: self.bucket.clone(),
            server: self.server.as_str().trim_end_matches('/').to_owned(),
            who,
            sign_in,
            is_s3: matches!(self.kind, PlanKind::S3(_)),
        }
    }

    /// Where requests go, for who wants to try the way there.
    pub(super) fn approach(&self) -> Result<Approach> {
        let Reached { server, who, .. } = self.reached("");
        let server = Server::of_url(&server)?;
        let variable = |name: &str| self.proxy_variable(name);
        let of_scheme = if self.server.scheme() == "http" { "HTTP_PROXY" } else { "HTTPS_PROXY" };
        let excepted =
            is_near(&server.host) || variable("NO_PROXY").is_some_and(|hosts| is_excepted(&server.host, &hosts));
        let proxy = variable(of_scheme).or_else(|| variable("ALL_PROXY")).filter(|_| !excepted);
        // Its URL may hold a password.
        let proxy =
            proxy.map(|url| url.rsplit(['@', '/']).find(|part| !part.is_empty()).unwrap_or_default().to_owned());
        Ok(Approach { server, who, proxy })
    }

    /// The profile that holds no way to sign in, where credentials are looked for on the machine because nothing else is there.
    pub(super) fn bare_profile(&self) -> Option<&str> {
        match &self.kind {
            PlanKind::S3(way) if way.source == Source::Machine => Some(&way.profile),
            _ => None,
        }
    }

    /// The HTTP client, which loads the system's certificates, and its counting wrapper.
    pub(super) fn wire(&self, limits: Limits) -> Result<Wire> {
        let failed = |what: &str| Error::new(Kind::Failed, what.to_owned());
        // Fails if the process has one already, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("dagset/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.access.patience.idle.min(std::time::Duration::from_secs(10)))
            // A redirect leads to another host, for which the signature isn't.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(64)
            // The proxies of the environment are handed in.
            .no_proxy();
        for proxy in self.proxies()? {
            builder = builder.proxy(proxy);
        }
        let bundle = self.access.variable("AWS_CA_BUNDLE").map(Path::new);
        for file in self.settings.ca_file.as_deref().into_iter().chain(bundle) {
            let pem = std::fs::read(file).map_err(|fault| Error::io("read the certificates in", file, fault))?;
            let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
            let certificates =
                certificates.ok_or_else(|| Error::usage(format!("{} holds no certificates", file.display())))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(|fault| failed("no HTTP client could be made").because(fault))?;
        let authority = match (self.server.host_str(), self.server.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        Ok(Wire { client, authority, limits, idle: self.access.patience.idle })
    }

    /// The lower-case names win, as with curl.
    fn proxy_variable(&self, name: &str) -> Option<String> {
        let lower = self.access.variable(&name.to_ascii_lowercase());
        lower.or_else(|| self.access.variable(name)).map(str::to_owned)
    }

    fn proxies(&self) -> Result<Vec<Proxy>> {
        let variable = |name: &str| self.proxy_variable(name);
        let except =
            variable("NO_PROXY").map_or_else(|| NEAR_HOSTS.to_owned(), |hosts| format!("{NEAR_HOSTS},{hosts}"));
        let except = NoProxy::from_string(&except);
        let all = variable("ALL_PROXY");
        let http = variable("HTTP_PROXY").or_else(|| all.clone()).map(Proxy::http);
        let https = variable("HTTPS_PROXY").or(all).map(Proxy::https);
        // Its URL may hold a password, so it is not shown.
        let understood = |proxy: reqwest::Result<Proxy>| {
            proxy.map_err(|_| Error::usage("HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not a URL"))
        };
        [http, https].into_iter().flatten().map(|proxy| Ok(understood(proxy)?.no_proxy(except.clone()))).collect()
    }

    /// The client of the bucket. Asks nobody: credentials are looked for by the first request.
    pub(super) fn connect(&self, wire: Wire) -> Result<Arc<dyn ObjectStore>> {
        let built = match &self.kind {
            PlanKind::S3(way) => self.connect_s3(way, wire),
            PlanKind::Google => self.connect_google(wire),
            PlanKind::Azure => self.connect_azure(wire),
        };
        built.map_err(|fault| {
            Error::new(Kind::Unreachable, format!("the bucket {} can't be opened", self.bucket)).because(fault)
        })
    }

    fn server_text(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }

    fn connect_s3(&self, way: &Way, wire: Wire) -> object_store::Result<Arc<dyn ObjectStore>> {
        // Where the host names the bucket, the server's URL holds it, as this builder wants it.
        let in_host = self.server.host_str().is_some_and(|host| host.starts_with(&format!("{}.", self.bucket)));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&way.region)
            .with_endpoint(self.server_text())
            .with_virtual_hosted_style_request(in_host)
            .with_allow_http(true)
            .with_retry(no_retries())
            // Of each body, which the signature hashes anyway: a bucket that locks its objects wants it.
            .with_checksum_algorithm(Checksum::SHA256)
            // One at a time, by the verb that a policy for deleting names.
            .with_disable_bulk_delete(true)
            .with_http_connector(wire.clone());
        let mut set: Vec<(AmazonS3ConfigKey, String)> = Vec::new();
        match &way.source {
            Source::Keys(keys) => {
                builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential(keys))));
            }
            Source::Signer(signer) => {
                let giver = Giver::Helper { signer: signer.clone(), access: self.access.clone() };
                builder = builder.with_credentials(Arc::new(Renewed::new(giver)));
            }
            Source::WebIdentity { token_file, role, session } => {
                set.push((AmazonS3ConfigKey::WebIdentityTokenFile, token_file.clone()));
                set.push((AmazonS3ConfigKey::RoleArn, role.clone()));
                set.extend(session.clone().map(|session| (AmazonS3ConfigKey::RoleSessionName, session)));
                set.extend(way.sts.clone().map(|sts| (AmazonS3ConfigKey::StsEndpoint, sts)));
            }
            Source::Container { url, token_file } => {
                // Not the builder's own, which passes a URL over that comes without a token's file.
                let given = self.access.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned);
                let token =
                    token_file.as_ref().map(|path| Token::InFile(path.into())).or_else(|| given.map(Token::Given));
                let giver = Giver::Container { client: HttpClient::new(wire), url: url.clone(), token };
                builder = builder.with_credentials(Arc::new(Renewed::new(giver)));
            }
            Source::Machine => {
                let given = self.access.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
                let endpoint = given.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
                set.extend(endpoint.map(|endpoint| (AmazonS3ConfigKey::MetadataEndpoint, endpoint)));
            }
        }
        for (key, value) in set {
            builder = builder.with_config(key, value);
        }
        Ok(Arc::new(builder.build()?))
    }

    fn connect_google(&self, wire: Wire) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_retry(no_retries())
            .with_http_connector(wire);
        for (name, value) in &self.access.environment {
            if let Ok(key) = GoogleConfigKey::from_str(&name.to_ascii_lowercase()) {
                builder = builder.with_config(key, value);
            }
        }
        if self.settings.endpoint.is_some() {
            builder = builder.with_base_url(&self.server_text());
        }
        Ok(Arc::new(builder.build()?))
    }

    fn connect_azure(&self, wire: Wire) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_container_name(&self.bucket)
            .with_allow_http(self.server.scheme() == "http")
            .with_retry(no_retries())
            .with_http_connector(wire);
        for (name, value) in &self.access.environment {
            if let Ok(key) = AzureConfigKey::from_str(&name.to_ascii_lowercase()) {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        Ok(Arc::new(builder.build()?))
    }
}

/// Whether a list of hosts, as `NO_PROXY` has it, names this one or a domain above it.
fn is_excepted(host: &str, hosts: &str) -> bool {
    let names = |entry: &str| {
        let above = host.strip_suffix(entry.trim_start_matches('.'));
        entry == "*" || !entry.is_empty() && above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    hosts.split(',').map(str::trim).any(names)
}

fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

fn endpoint(text: &str) -> Result<Url> {
    refuse_secret(text, "an endpoint (AWS_ENDPOINT_URL, or `endpoint` of a profile or a store)")?;
    let bad = || {
        // Whoever writes a password into a URL doesn't want to see it here.
        let shown = text.rsplit('@').next().unwrap_or_default();
        Error::usage(format!("not the URL of a server: {shown:?}")).hint("write an endpoint as https://HOST[:PORT]")
    };
    let url = Url::parse(text).map_err(|_| bad())?;
    let is_good = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none();
    if is_good { Ok(url) } else { Err(bad()) }
}

/// Refuses a service for a container's credentials to which its token should not be shown.
fn check_container(text: &str) -> Result<()> {
    let url = Url::parse(text).map_err(|_| Error::usage("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL"))?;
    let host = url.host_str().unwrap_or_default();
    match url.scheme() == "https" || is_near(host) {
        true => Ok(()),
        false => Err(Error::usage(format!("no credentials are asked for without encryption at {host}"))
            .because("AWS_CONTAINER_CREDENTIALS_FULL_URI is http:// and not on this machine")),
    }
}

/// The server's URL, with the bucket in its host where it belongs there: on Amazon's own servers unless something says otherwise, and
/// elsewhere only where something asks for it.
fn s3_server(way: &Way, bucket: &str, path_style: Option<bool>) -> Result<Url> {
    let amazons =
        format!("https://s3.{}.amazonaws.com{}", way.region, if way.region.starts_with("cn-") { ".cn" } else { "" });
    let mut url = endpoint(way.endpoint.as_deref().unwrap_or(&amazons))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let is_amazons = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    // A dot in the bucket's name doesn't fit the certificate.
    let in_path = path_style
        .unwrap_or(!is_amazons || bucket.contains('.') || bucket.bytes().any(|b| b.is_ascii_uppercase() || b == b'_'));
    if !in_path && !host.starts_with(&format!("{bucket}.")) {
        let with_bucket = format!("{bucket}.{host}");
        url.set_host(Some(&with_bucket)).map_err(|_| {
            Error::usage(format!("no host can be named {with_bucket}")).hint("set `path_style` of the store to true")
        })?;
    }
    Ok(url)
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
