

select "table", source, snapshot, language, host
from "y"."stats"."documents"
group by all
having count(*) > 1
