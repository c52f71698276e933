{% test share(model, column_name) %}
{# A share is from 0 to 1. #}
select {{ column_name }}
from {{ model }}
where not {{ column_name }} between 0 and 1
{% endtest %}
