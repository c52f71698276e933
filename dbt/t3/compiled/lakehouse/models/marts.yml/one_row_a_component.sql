

select "table", component
from "y"."stats"."mixture_balance"
group by all
having count(*) > 1
