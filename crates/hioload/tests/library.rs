//! The library as its users see it: whatever a signature names has a name here.

use hioload::{client, config, control, http_client, layer, streams};

/// A type with this path exists, and is public.
fn is_named<T: ?Sized>() {}

#[test]
fn whatever_a_signature_names_has_a_name_here() {
    is_named::<hioload::ByteSize>();
    is_named::<hioload::ChannelError>();
    is_named::<hioload::Clock>();
    is_named::<hioload::DriverConfig>();
    is_named::<hioload::DriverKind>();
    is_named::<hioload::DurabilitySyntax>();
    is_named::<hioload::Http2Limits>();
    is_named::<hioload::Machine>();
    is_named::<hioload::PlanLine>();
    is_named::<hioload::StartError>();
    is_named::<hioload::Time>();
    is_named::<hioload::serde_json::Value>();
    is_named::<client::EntropyError>();
    is_named::<config::ByteSize>();
    is_named::<config::Limit>();
    is_named::<control::Change<'_, config::ServerConfig>>();
    is_named::<control::Config<config::ServerConfig>>();
    is_named::<control::ConfigError>();
    is_named::<control::Control>();
    is_named::<control::Invalid>();
    is_named::<control::KeyChange>();
    is_named::<control::KeyReport>();
    is_named::<control::Origin>();
    is_named::<control::ProbeError>();
    is_named::<control::Probes>();
    is_named::<control::Problem>();
    is_named::<control::ReloadError>();
    is_named::<control::Report>();
    is_named::<control::Sources>();
    is_named::<http_client::Completion>();
    is_named::<http_client::ConnKey>();
    is_named::<dyn http_client::Driver>();
    is_named::<http_client::Origin>();
    is_named::<http_client::Overlong>();
    is_named::<http_client::SubmitError>();
    is_named::<http_client::UploadMisuse>();
    is_named::<layer::MetricsSnapshot>();
    is_named::<streams::Step>();
}
