
    
    



select snapshot
from "y"."stats"."balance"
where snapshot is null


