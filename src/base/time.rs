//! Points in time, as the format keeps them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Error, Result};

/// Milliseconds since 1970 in UTC. Displayed as RFC 3339 with `Z`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// The system's clock.
    pub fn now() -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Parses RFC 3339, or a date alone (midnight in UTC).
    pub fn parse(text: &str) -> Result<Time> {
        let parsed = text.parse::<jiff::Timestamp>().or_else(|fault| {
            let date = text.parse::<jiff::civil::Date>().map_err(|_| fault)?;
            date.to_zoned(jiff::tz::TimeZone::UTC).map(|at| at.timestamp())
        });
        match parsed {
            Ok(at) => Ok(Time(at.as_millisecond())),
            Err(fault) => Err(Error::usage(format!("not a time (RFC 3339 or YYYY-MM-DD): {text:?}")).because(fault)),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// What lasts longer lasts for ever.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A time that something lasts, of at most a hundred years: a number with `m`, `h`, `d` or `w`.
pub fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let bad = || format!("not a duration: {text:?} (write 90s, 30m, 12h, 7d, 2w)");
    let text = text.trim();
    let unit = text.chars().next_back().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(bad()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    let duration = Duration::from_secs(number.saturating_mul(seconds));
    match duration <= LONGEST {
        true => Ok(duration),
        false => Err(format!("too long: {text:?} (36500d, a hundred years, is the most)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_and_parse() {
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time::parse("1970-01-01T00:00:01Z").expect("rfc 3339"), Time(1000));
        assert_eq!(Time::parse("1970-01-02").expect("date"), Time(86_400_000));
        assert!(Time::parse("yesterday").is_err());
        assert_eq!(Time(i64::MAX).to_string(), format!("{} ms", i64::MAX));
    }
}
