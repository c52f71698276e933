
    
    



select "table"
from "y"."stats"."documents"
where "table" is null


