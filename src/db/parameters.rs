//! The parameters that a connection string names, in either of its two forms.
//!
//! A module of its own, because the client says what they came to and not which were given.

/// A parameter as it was given, but for the password's and the host's place in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// As libpq calls it; empty where it is written as no parameter is.
    pub name: String,
    /// Its value, in a URL not decoded.
    pub value: String,
}

/// What a connection string holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// What it names.
    pub parameters: Vec<Parameter>,
    /// Where in it a port would stand, if it is a URL that names a host and no port.
    pub port_at: Option<usize>,
}

/// Reads them as far as the text is what it should be; whether it is the client says.
pub fn given(text: &str) -> Given {
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| text.starts_with(scheme));
    match scheme {
        Some(scheme) => of_url(text, scheme.len()),
        None => Given { parameters: of_words(text), port_at: None },
    }
}

fn of_url(text: &str, scheme: usize) -> Given {
    let host_at = text[scheme..].find('@').map_or(scheme, |at| scheme + at + 1);
    let host_end = text[host_at..].find(['/', '?']).map_or(text.len(), |at| host_at + at);
    let host = &text[host_at..host_end];
    let bare = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    let query = text[host_end..].split_once('?').map_or("", |(_, query)| query);
    let parameters = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| {
        // the client decodes it first: what is written otherwise than it reads would pass for
        // nothing
        let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        Parameter { name: if is_plain { name.to_owned() } else { String::new() }, value: value.to_owned() }
    });
    let port_at = (!host.is_empty() && !bare.contains(':')).then_some(host_end);
    Given { parameters: parameters.collect(), port_at }
}

fn of_words(text: &str) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, behind)) = rest.split_once('=') {
        let Some((value, behind)) = value(behind.trim_start()) else { break };
        parameters.push(Parameter { name: name.trim_end().to_owned(), value });
        rest = behind.trim_start();
    }
    parameters
}

/// A value at the start of `text`, and what follows it; none if its quotes do not end.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Some((value, &body[at + 1..])),
            _ if quoted.is_none() && character.is_whitespace() => return Some((value, &body[at..])),
            _ => value.push(character),
        }
    }
    quoted.is_none().then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        given(text).parameters.into_iter().map(|parameter| (parameter.name, parameter.value)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_urls_parameters_are_behind_its_question_mark() {
        let url = "postgresql://ann:a?b=c@db/shop?sslmode=require&host=/run/pg";
        assert_eq!(names(url), pairs(&[("sslmode", "require"), ("host", "/run/pg")]));
        assert_eq!(names("postgres:///shop"), []);
        assert_eq!(names("postgresql://db?ssl%6Dode=require"), pairs(&[("", "require")]));
    }

    #[test]
    fn words_may_be_quoted_and_spaced() {
        let words = r" host=a  options = '-c a=b \' ' password=x\ y ";
        assert_eq!(names(words), pairs(&[("host", "a"), ("options", "-c a=b ' "), ("password", "x y")]));
        assert_eq!(names("host='a"), []);
    }

    #[test]
    fn a_url_without_a_port_has_a_place_for_one() {
        let with_port = |url: &str| given(url).port_at.map(|at| format!("{}:1{}", &url[..at], &url[at..]));
        assert_eq!(with_port("postgresql://db/shop").unwrap(), "postgresql://db:1/shop");
        assert_eq!(with_port("postgresql://a:b@[::1]?x=y").unwrap(), "postgresql://a:b@[::1]:1?x=y");
        assert_eq!(with_port("postgresql://db").unwrap(), "postgresql://db:1");
        for url in ["postgresql://db:2/shop", "postgresql://[::1]:2", "postgresql:///shop", "host=db"] {
            assert_eq!(with_port(url), None, "{url}");
        }
    }
}
