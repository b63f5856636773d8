{#- Lower case for the letters A to Z only. How other letters are lowered depends on the engine and on
    the database's locale, and e-mail domains know only these. -#}
{% macro ascii_lower(text) -%}
    translate({{ text }}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
{%- endmacro %}

{% macro normalised_email(email) -%}
    nullif({{ ascii_lower('trim(' ~ email ~ ')') }}, '')
{%- endmacro %}

{#- The path of a web address, without host, query and fragment; `/` for the home page. -#}
{% macro path_of_url(url) -%}
    coalesce(
        nullif(split_part(split_part(
            regexp_replace({{ url }}, '^https?://[^/?#]*', ''), '?', 1
        ), '#', 1), ''),
        '/'
    )
{%- endmacro %}

{#- What was typed into a search box, comparable: lower case, single spaces; null when blank. -#}
{% macro search_term(search_query) -%}
    nullif(trim(regexp_replace({{ ascii_lower(search_query) }}, '[ \t\r\n]+', ' ', 'g')), '')
{%- endmacro %}
