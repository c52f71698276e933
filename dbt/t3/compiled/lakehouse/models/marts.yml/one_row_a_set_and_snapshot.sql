

select "table", snapshot
from "y"."stats"."balance"
group by all
having count(*) > 1
