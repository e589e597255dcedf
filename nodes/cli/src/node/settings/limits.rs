//! `[limits]` of a gate's node file.

use hyperscale_reliability::{Operation, RateLimit, RateLimitConfig};
use ipnet::IpNet;
use toml::{Table, Value};

/// Nets that may be exempt; each link that comes up is compared with all of them.
const EXEMPT_MAX: usize = 1_000;
const SIZE_MAX: u32 = 1_000_000;
const PER_SECOND: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// What cannot be, where, and what would be right.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) why: String,
}

fn wrong<T>(key: impl Into<String>, why: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { key: key.into(), why: why.into() })
}

/// The defaults, with what the table says instead.
pub(super) fn read(table: &Table) -> Result<RateLimitConfig, Wrong> {
    let mut config = RateLimitConfig::default();
    for (key, value) in table {
        if key == "exempt" {
            config.exempt = nets(value)?;
            continue;
        }
        let operation = operation(key)?;
        let before = config.limit(operation);
        config.set(operation, row(&format!("limits.{key}"), value, before)?);
    }
    Ok(config)
}

fn operation(key: &str) -> Result<Operation, Wrong> {
    let known = Operation::OF_CLIENTS.map(Operation::as_str);
    let all = known.join(", ");
    match Operation::named(key) {
        Some(operation) if Operation::OF_CLIENTS.contains(&operation) => Ok(operation),
        Some(_) => wrong(
            format!("limits.{key}"),
            format!("is an operation of nodes, not of clients; limits are for {all}, and there is exempt"),
        ),
        None => {
            let near = hyperscale_plan::nearest(key, known.into_iter().chain(["exempt"]));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            wrong(
                format!("limits.{key}"),
                format!("no such operation; there are {all}, and there is exempt{hint}"),
            )
        }
    }
}

fn row(key: &str, value: &Value, before: Option<RateLimit>) -> Result<Option<RateLimit>, Wrong> {
    let table = match value {
        Value::String(text) if text == "unlimited" => return Ok(None),
        Value::Table(table) => table,
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => {
            return wrong(key, format!("{value}: write {{ size = 100, per_second = 10 }}, or \"unlimited\""));
        }
    };
    let mut limit = before.unwrap_or(RateLimit { size: 1, per_second: 1.0 });
    for (name, value) in table {
        let key = format!("{key}.{name}");
        match name.as_str() {
            "size" => limit.size = size(key, value)?,
            "per_second" => limit.per_second = per_second(key, value)?,
            _ => return wrong(key, "a limit has size, the requests at once, and per_second"),
        }
    }
    Ok(Some(limit))
}

fn size(key: String, value: &Value) -> Result<u32, Wrong> {
    match value.as_integer().and_then(|size| u32::try_from(size).ok()) {
        Some(size @ 1..=SIZE_MAX) => Ok(size),
        _ => wrong(key, format!("{value}: write the requests that may come at once, 1 to {SIZE_MAX}")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "whatever is so great is refused")]
fn per_second(key: String, value: &Value) -> Result<f64, Wrong> {
    let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    match number.filter(|number| PER_SECOND.contains(number)) {
        Some(number) => Ok(number),
        None => {
            let (least, most) = (PER_SECOND.start(), PER_SECOND.end());
            wrong(
                key,
                format!("{value}: write the requests that may come a second for long, {least} to {most}"),
            )
        }
    }
}

fn nets(value: &Value) -> Result<Vec<IpNet>, Wrong> {
    const KEY: &str = "limits.exempt";
    let Some(list) = value.as_array().filter(|list| list.len() <= EXEMPT_MAX) else {
        return wrong(KEY, format!("{value}: write a list of nets, [\"10.0.0.0/8\"], {EXEMPT_MAX} at most"));
    };
    let read = list.iter().map(|net| {
        let text = net.as_str().unwrap_or_default();
        let whole = || text.parse().ok().map(|addr: std::net::IpAddr| IpNet::from(addr));
        match text.parse::<IpNet>().ok().or_else(whole) {
            Some(net) => Ok(net.trunc()),
            None => {
                wrong(KEY, format!("{net} is no net; write \"10.0.0.0/8\", \"192.0.2.7\" or \"fd00::/8\""))
            }
        }
    });
    read.collect()
}
