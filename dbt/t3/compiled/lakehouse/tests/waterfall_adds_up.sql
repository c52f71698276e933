select "table"
from "y"."stats"."waterfall"
where step in ('pages', 'in', 'dropped', 'kept')
group by "table"
having bool_or(step in ('pages', 'in'))
    and sum(if(step in ('pages', 'in'), documents, -documents)) <> 0