{% test unique_together(model, columns) %}
{# No two rows agree in all of `columns`; nulls count as equal. #}
select {{ columns | join(', ') }}
from {{ model }}
group by all
having count(*) > 1
{% endtest %}
